"""The ablation: every arm can run, the table is that of the committed runs, a finished run is not repeated."""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from s4mim_jax import quickstart
from s4mim_jax.config import command_line
from s4mim_jax.config.validation import validate

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / 'benchmarks' / 'results'
sys.path.insert(0, str(ROOT / 'benchmarks'))
import ablation  # noqa: E402
import ablation_table  # noqa: E402
from arms import TABLES, Arm  # noqa: E402

# Folder of the committed JSONs -> arms; what has not run has none.
ROUNDS = {table.folder: table.arms for table in TABLES.values() if (RESULTS / table.folder).exists()}
CONDITIONS = {table.folder: (Path(table.config).name, [], table.begin) for table in TABLES.values()}


def config_of(arm, table='shapes'):
    config = command_line.load_config(f'{ROOT}/{TABLES[table].config}:{TABLES[table].arms[arm].argument}', [])
    validate(config)
    return config


SHAPES = TABLES['shapes'].arms
EVERY = [(table, arm) for table in TABLES if table != 'first_round' for arm in TABLES[table].arms]


@pytest.mark.parametrize('table, arm', EVERY)
def test_every_arm_can_run_keeps_the_same_average_and_has_a_host_on_its_seeds(table, arm):
    config, arms = config_of(arm, table), TABLES[table].arms
    assert (config.method.teacher.kind, config.method.teacher.decay) == ('ema', 0.99)
    assert arms[arm].host is None or arms[arms[arm].host].seeds >= arms[arm].seeds


@pytest.mark.parametrize('table, arm', [(t, arm) for t, arm in EVERY if TABLES[t].arms[arm].host in
                                        ('fixmatch', 's4mim base')])
def test_what_is_added_to_a_host_leaves_it_whole(table, arm):
    method, host = config_of(arm, table).method, config_of(TABLES[table].arms[arm].host, table).method
    for key in ('supervised', 'consistency', 'feature_perturbation', 'feature_dropout', 'tau', 'teacher', 'cutmix'):
        assert method[key] == host[key], key


@pytest.mark.parametrize('table', TABLES)
def test_no_two_arms_are_the_same_run(table):
    configs = {arm: json.loads(config_of(arm, table).to_json_best_effort()) for arm in TABLES[table].arms}
    for config in configs.values():
        config['method'].pop('name')
    whole = [json.dumps(config, sort_keys=True) for config in configs.values()]
    assert len(set(whole)) == len(configs)


def test_the_quickstart_trains_two_of_the_arms():
    """So that what is measured here on several seeds is what it shows on one."""
    for text, arm in ((quickstart.HOST, 'supervised'), (quickstart.METHOD, 'fixmatch')):
        config = command_line.load_config(f'{ROOT}/configs/shapes_start.py:{text}', [])
        same = config_of(arm)
        config.method.name = same.method.name
        assert config.to_json() == same.to_json() and quickstart.STEPS == config.total_steps
    assert quickstart.CONFIG.name == 'shapes_start.py'


def committed(folder):
    return [json.loads(path.read_text()) for path in sorted((RESULTS / folder).glob('*-seed*.json'))]


@pytest.mark.parametrize('folder', ROUNDS)
def test_the_committed_runs_are_those_of_the_arms(folder):
    assert committed(folder)
    for result in committed(folder):
        arm = ROUNDS[folder][result['arm']]
        assert (result['argument'], result['host'], result['seed'] < arm.seeds) == (arm.argument, arm.host, True)
        assert (result['config_file'], result['set'], result['begin']) == CONDITIONS[folder]
        assert result['test']['latest']['images'] >= (233 if 'camvid' in folder else 1024)
        assert result['test']['latest']['step'] == result['steps']


@pytest.mark.parametrize('folder', ROUNDS)
def test_the_committed_table_is_that_of_the_committed_runs(folder, tmp_path):
    """Mended by: python benchmarks/ablation.py --summarize, with --table=first_round that of the first round."""
    ablation_table.write_table(committed(folder), ROUNDS[folder], tmp_path)
    assert (tmp_path / 'table.md').read_bytes() == (RESULTS / folder / 'table.md').read_bytes()
    assert (tmp_path / 'table.png').exists() and (RESULTS / folder / 'table.png').exists()


# Arithmetic of the table.

def result(arm, seed, miou, kept=None, step=0.1):
    return {'arm': arm, 'seed': seed, 'test': {'latest': {'miou': miou}},
            'pseudo_label': {} if kept is None else {'pseudo_label/kept': kept},
            'cost': {'step_seconds': step, 'first_step_seconds': 10.0}, 'steps': 500}


def test_paired_difference_by_hand():
    """Differences 1, 2, 3: mean 2, deviation 1, t of two degrees of freedom 4.30265 -> half width 4.30265 / sqrt(3)."""
    mean, half, count = ablation_table.paired({0: 11.0, 1: 22.0, 2: 33.0, 5: 99.0}, {0: 10.0, 1: 20.0, 2: 30.0, 7: 1.0})
    assert (mean, count) == (2.0, 3) and half == pytest.approx(2.48414, abs=1e-5)
    assert ablation_table.paired({0: 1.5}, {0: 1.0}) == (0.5, None, 1)
    assert ablation_table.paired({0: 1.5}, {1: 1.0}) is None
    mean, half, _ = ablation_table.paired({0: 1.0, 1: 3.0}, {0: 0.0, 1: 0.0})
    assert half == pytest.approx(12.7062, abs=1e-4)  # deviation sqrt(2), over sqrt(2)


def test_p_is_that_of_the_paired_t_test():
    """t = sqrt(12) of two degrees of freedom: p = 1 - t / sqrt(2 + t^2). An interval that ends at 0 has p = .05."""
    difference = ablation_table.paired({0: 11.0, 1: 22.0, 2: 33.0}, {0: 10.0, 1: 20.0, 2: 30.0})
    assert ablation_table.p_value(difference) == pytest.approx(1 - math.sqrt(12 / 14), rel=1e-6)
    assert ablation_table.p_value((-1.3, 1.3, 4)) == pytest.approx(0.05)
    assert ablation_table.p_value((0.0, 0.0, 5)) == 1.0 and ablation_table.p_value((2.0, 0.0, 5)) == 0.0
    assert ablation_table.p_value((1.0, None, 1)) is None


def test_p_values_are_corrected_for_their_number():
    """Holm by hand: .01 x 4, .02 x 3, then .03 x 2 = .06 as the one before, and .5."""
    corrected = ablation_table.holm({'c': 0.03, 'a': 0.01, 'd': 0.5, 'b': 0.02})
    assert corrected == pytest.approx({'a': 0.04, 'b': 0.06, 'c': 0.06, 'd': 0.5})
    assert ablation_table.holm({'a': 0.7, 'b': 0.6}) == {'b': 1.0, 'a': 1.0} and ablation_table.holm({}) == {}
    assert [*map(ablation_table.probability, (None, 0.0004, 0.0342, 1.0))] == ['-', '< .001', '.034', '1']


def cells(line):
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_an_arm_on_two_seeds_stands_beside_its_host_on_the_same_two(tmp_path):
    """fixmatch: .3, .4 and three times .5, so .44 over all and .35 over seeds 0 and 1."""
    host = [result('fixmatch', seed, miou, kept=0.9) for seed, miou in enumerate((0.3, 0.4, 0.5, 0.5, 0.5))]
    part = [result('s4mc', 0, 0.31, 0.5), result('s4mc', 1, 0.42, 0.7, 0.3)]
    union = [result('union', seed, miou) for seed, miou in enumerate((0.3, 0.4, 0.5, 0.5, 0.5))]
    four = [result('maskmatch', seed, 0.45) for seed in range(5)]
    arms = {'fixmatch': Arm('', 'supervised', 5), 'maskmatch': Arm('', 'fixmatch', 5), 's4mc': Arm('', 'fixmatch', 2),
            'union': Arm('', 'fixmatch', 5)}
    ablation_table.write_table(host + part + union + four, arms, tmp_path)
    text = (tmp_path / 'table.md').read_text()
    first, second, third = text.split('\n\nArms on 2')[0], text.split('Arms on 2')[1].split('The union')[0], \
        text.split('The union')[1]
    whole, short, beside = ({cells(line)[0]: cells(line) for line in part.splitlines() if line.startswith('|')}
                            for part in (first, second, third))
    assert whole['fixmatch'] == ['fixmatch', '5', '44.00 ± 8.94', 'supervised', '-', '-', '-', '90%']
    assert whole['union'][3:6] == ['fixmatch', '44.00', '+0.00 [+0.00, +0.00] (5)']
    # 1 and 2 points: mean 1.5, deviation 1 / sqrt(2), half width 12.706 / 2.
    assert short['s4mc'] == ['s4mc', '2', '36.50 ± 7.78', 'fixmatch', '35.00', '+1.50 [-4.85, +7.85] (2)', '1', '60%']
    # -15, -5, 5, 5, 5: deviation sqrt(80), half width 2.776 * sqrt(16).
    assert beside['maskmatch'] == ['maskmatch', '45.00', '44.00', '-1.00 [-12.11, +10.11] (5)', '1']
    assert set(beside) == {'method', '---', 'maskmatch', 's4mc'} and 'supervised' not in whole


def test_the_plot_names_each_host_beside_its_row():
    best = {'a': {0: 40.0, 1: 42.0}, 'b': {0: 30.0, 1: 31.0}, 'c': {0: 30.0}}
    left, right = ablation_table.draw([[('a', None), ('b', 'a')], [('c', 'b')]], best).axes
    assert [label.get_text() for label in left.get_yticklabels()] == ['a', 'b', 'c']
    hosts, = right.child_axes
    assert [label.get_text() for label in hosts.get_yticklabels()] == ['', 'vs a', 'vs b']
    points = [bar.lines[0] for bar in right.containers]
    np.testing.assert_allclose([[*p.get_xdata(), *p.get_ydata()] for p in points], [[-10.5, 1], [0, 2]])


def test_no_label_of_the_plot_is_cut_off_or_lies_on_an_interval():
    best = {name: {0: 40.0 + number, 1: 41.0} for number, name in enumerate(SHAPES)}
    figure = ablation_table.draw([[(name, arm.host) for name, arm in SHAPES.items()]], best)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    left, right = figure.axes
    hosts, = right.child_axes
    labels = [left.xaxis.label, right.xaxis.label, *left.get_yticklabels(), *hosts.get_yticklabels()]
    for box in (label.get_window_extent(canvas.get_renderer()) for label in labels):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and figure.bbox.y0 <= box.y0
        assert not box.width or not right.bbox.overlaps(box)


# The run itself.

@pytest.fixture
def runs(monkeypatch, tmp_path):
    """main() with the function that trains replaced: (call, the runs that were made)."""
    made = []

    def run(arm, seed, arguments):
        made.append((arm, seed))
        return result(arm, seed, 0.4) | {'seconds': 60.0}

    monkeypatch.setattr(ablation, 'run', run)
    monkeypatch.setattr(ablation.command_line, 'compilation_cache', lambda workdir: None)

    def call(*options):
        made.clear()
        monkeypatch.setattr(sys, 'argv', ['ablation.py', f'--folder={tmp_path}/results', f'--runs={tmp_path}/runs',
                                          *options])
        ablation.main()
        return list(made)

    return call, tmp_path / 'results'


def test_a_table_of_published_weights_asks_for_them(runs, tmp_path):
    call, _ = runs
    with pytest.raises(SystemExit, match='--weights=FILE'):
        call('--table=camvid_1_30')
    with pytest.raises(SystemExit, match='no such file'):
        call('--table=camvid_1_30', f'--weights={tmp_path}/none.npz')
    file = tmp_path / 'some.npz'
    file.touch()
    assert call('--table=camvid_1_30', f'--weights={file}', '--only=supervised', '--seeds=1') == [('supervised', 0)]


def test_a_run_with_a_json_is_not_repeated(runs, capsys, monkeypatch):
    call, folder = runs
    arms = {'fixmatch': Arm('', None, 5), 's4mc': Arm('', 'fixmatch', 2)}
    monkeypatch.setattr(ablation, 'TABLES', {'shapes': TABLES['shapes']._replace(arms=arms)})
    only = '--only=fixmatch;s4mc'
    assert call(only, '--list') == [] and not folder.exists()
    assert 'the first one will tell' in capsys.readouterr().out
    assert call(only, '--seeds=1') == [('fixmatch', 0), ('s4mc', 0)]
    kept = (folder / 'fixmatch-seed0.json').read_bytes()
    # Five runs of a minute are left, which is said before the first of them.
    capsys.readouterr()
    assert call(only) == [('fixmatch', 1), ('s4mc', 1), ('fixmatch', 2), ('fixmatch', 3), ('fixmatch', 4)]
    assert capsys.readouterr().out.startswith('7 runs, 5 of them to do: about 5 min\n')
    assert call(only) == [] and (folder / 'fixmatch-seed0.json').read_bytes() == kept
    (folder / 's4mc-seed1.json').unlink()
    assert call(only) == [('s4mc', 1)]
    assert not list(folder.glob('*.part')) and len(list(folder.glob('*-seed*.json'))) == 7
    with pytest.raises(SystemExit, match='unknown arm'):
        call('--only=nonsense')


def test_the_estimate_takes_an_arms_own_time_where_there_is_one():
    """Earlier JSONs: start and steps, 10 + 500 * .1 = 60 s; an arm that never ran: the median of all, 60, 90, 300."""
    done = [result('a', 0, 0.4), result('a', 1, 0.4) | {'seconds': 90.0}, result('b', 0, 0.4) | {'seconds': 300.0}]
    assert ablation.estimate([('a', 2)], done) == 75.0
    assert ablation.estimate([('b', 1), ('new', 0)], done) == 390.0
    assert ablation.estimate([('a', 0)], []) is None


def test_every_arm_of_a_seed_begins_with_the_same_network(monkeypatch, tmp_path):
    trained, more = [], []

    def train(config, workdir):
        trained.append((Path(workdir).name, config.method.name, config.seed, config.total_steps,
                        config.model.pretrained))
        more.append((config.data.split, config.method.class_balance, config.model.freeze_norm))
        Path(workdir).mkdir(parents=True, exist_ok=True)
        files = {'config.json': config.to_json_best_effort(), 'cost.json': '{}', 'run.json': json.dumps(
            {'split': {'hash': 'h'}, 'versions': {}, 'git': 'g', 'devices': {}}), 'metrics.jsonl': '\n'.join(
            json.dumps(line) for line in ({'step': 5, 'split': 'val', 'miou': 0.3},
                                          {'step': 5, 'split': 'train', 'pseudo_label/kept': 0.5, 'loss': 1.0}))}
        for name, text in files.items():
            (Path(workdir) / name).write_text(text)
        return 0

    monkeypatch.setattr(ablation, 'train', train)
    monkeypatch.setattr(ablation, 'evaluate_run', lambda workdir, checkpoint, split, overrides: {
        'miou': 0.4, 'split': split, 'of': dict(overrides)['data.name']})
    monkeypatch.setattr(ablation.jax, 'clear_caches', lambda: None)
    arguments = SimpleNamespace(arms=SHAPES, runs=tmp_path, begin=7, weights=None,
                                config=f'{ROOT}/configs/shapes.py', set=['total_steps=5'])
    found = ablation.run('fixmatch', 3, arguments)
    assert trained == [('begin-seed3', 'supervised', 3, 7, None),
                       ('fixmatch-seed3', 'fixmatch', 3, 5, str(tmp_path / 'begin-seed3'))]
    assert found['test'] == {'latest': {'miou': 0.4, 'split': 'test', 'of': 'shapes_large'}}
    assert found['val_miou'] == [[5, 0.3]]
    weights = tmp_path / 'w.safetensors'  # the arms' common beginning has their split, class weights and held BatchNorm
    arguments = SimpleNamespace(arms=TABLES['camvid_1_16'].arms, runs=tmp_path / 'photographs', begin=7,
                                weights=weights, config=f'{ROOT}/configs/camvid_small.py', set=[])
    monkeypatch.setattr(ablation, 'finer', lambda workdir: (('data.name', 'camvid'),))
    monkeypatch.setattr(ablation, 'validate', lambda config: None)  # no such file of weights
    ablation.run('fixmatch', 0, arguments)
    assert trained[2:] == [('begin-seed0', 'supervised', 0, 7, str(weights)),
                           ('fixmatch-seed0', 'fixmatch', 0, 750, str(arguments.runs / 'begin-seed0'))]
    assert more[2:] == [('1_16', 'effective', True)] * 2
    assert found['pseudo_label'] == {'pseudo_label/kept': 0.5} and found['seconds'] >= 0
