"""The report: numbers against NumPy, grouping, the page, what it refuses, and predictions of a real run."""

import base64
import html.parser
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_run
from PIL import Image

import s4mim_jax
from s4mim_jax import data
from s4mim_jax.errors import InputError
from s4mim_jax.report import make_report
from s4mim_jax.reporting import curves, predictions, run_files, statistics, tables
from s4mim_jax.reporting.groups import make_groups

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ['road', 'sky', 'never']
PROTOCOL = {'mode': 'whole', 'scored_at': 'own size'}


def make(path, method='unimatch', seed=0, test=None, steps=(100, 200, 300), total=300, cost=None, watch=False,
         file='test-best-teacher', protocol=PROTOCOL, **settings):
    """A run folder as train and evaluate would leave it; returns (path, its val mIoU)."""
    config = json.loads(tiny_run.config('/nowhere').to_json_best_effort())
    config |= {'seed': seed, 'total_steps': total}
    config['method']['name'] = method
    for key, value in settings.items():
        group, _, name = key.partition('__')
        config[group][name] = value
    rng = np.random.default_rng([seed, len(method)])
    lines, scores = [], rng.uniform(0.2, 0.6, len(steps)).tolist()
    for step, score in zip(steps, scores):
        train = {'loss': 1 / step, 'loss/supervised': 2 / step, 'pseudo_label/kept': step / 1000,
                 'pseudo_label/accuracy_kept': None}
        lines.append({'step': step, 'split': 'train', **train})
        lines.append({'step': step, 'split': 'val', 'weights': 'teacher', 'miou': score,
                      'iou/road': score + 0.1, 'iou/sky': score - 0.1, 'iou/never': None})
        if watch:
            lines.append({'step': step, 'split': 'watch', 'kept/road': 0.5 + seed / 10, 'kept/sky': 0.25,
                          'accuracy_kept/road': 0.75, 'accuracy_kept/sky': None})
    path.mkdir(parents=True)
    (path / 'config.json').write_text(json.dumps(config))
    (path / 'run.json').write_text(json.dumps({
        'classes': CLASSES, 'palette': [[0, 0, 0]] * 3, 'git': 'a' * 40, 'devices': {'kind': 'cpu', 'count': 1},
        'split': {'name': config['data']['split'], 'labeled': 23, 'unlabeled': 344}}))
    (path / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    if test is not None:
        (path / 'eval').mkdir()
        best = steps[int(np.argmax(scores))]
        (path / f'eval/{file}.json').write_text(json.dumps({
            'miou': test, 'iou': {'road': test + 0.2, 'sky': test - 0.2, 'never': None}, 'pixel_accuracy': 0.9,
            'step': best, 'weights': 'teacher', 'protocol': protocol, 'images': 5}))
    if cost is not None:
        (path / 'cost.json').write_text(json.dumps(cost))
    return path, scores


@pytest.fixture
def world(tmp_path):
    """supervised with seeds 0-2, unimatch with 1-3; (folder, val scores, test scores), both {method: {seed: ...}}."""
    val, test = {}, {}
    for method, seeds in (('supervised', (0, 1, 2)), ('unimatch', (1, 2, 3))):
        test[method] = {seed: 0.3 + 0.01 * seed**2 + 0.1 * (method == 'unimatch') for seed in seeds}
        val[method] = {seed: make(tmp_path / 'runs' / method / f'seed{seed}', method, seed, test[method][seed],
                                  watch=method == 'unimatch')[1] for seed in seeds}
    return tmp_path / 'runs', val, test


def groups_of(*folders):
    paths, problems = run_files.find_runs([str(folder) for folder in folders])
    assert not problems
    return make_groups([run_files.read_run(path)[0] for path in paths])


def text(values):
    return f'{100 * np.mean(values):.2f} ± {100 * np.std(values, ddof=1):.2f}'


def test_summary_numbers(world):
    folder, val, test = world
    groups, _ = groups_of(folder)
    table = tables.summary_table(groups)
    rows = [dict(zip(table.columns, row)) for row in table.rows]
    assert [row['method'] for row in rows] == ['supervised', 'unimatch']
    for row in rows:
        scores = list(val[row['method']].values())
        assert row['final val mIoU'] == text([s[-1] for s in scores])
        assert row['best val mIoU'] == text([max(s) for s in scores])
        assert row['test mIoU'] == text(list(test[row['method']].values()))
        assert row['tested weights'] == 'best, teacher' and row['labelled images'] == '23'
        assert row['steps'] == '300'
    pairs = [test['unimatch'][seed] - test['supervised'][seed] for seed in (1, 2)]
    assert (rows[0]['test − reference'], rows[1]['test − reference']) == ('reference', '+' + text(pairs))
    assert rows[1]['pairs'] == '2' and rows[1]['seeds'] == '1, 2, 3'


def test_numbers_that_only_some_seeds_have(tmp_path):
    make(tmp_path / 'a', seed=0, test=0.5)
    make(tmp_path / 'b', seed=1, steps=(100, 200))
    groups, _ = groups_of(tmp_path)
    row = dict(zip(tables.summary_table(groups).columns, tables.summary_table(groups).rows[0]))
    assert row['test mIoU'] == '50.00 (1 of 2)' and row['steps'] == '200 to 300 of 300'
    assert statistics.summarize([None]) is None and statistics.summarize([0.5]).sd is None


def test_classes_of_test_and_of_val(world, tmp_path):
    folder, _, test = world
    groups, _ = groups_of(folder)
    table = tables.class_table(groups)
    mean = np.mean(list(test['unimatch'].values()))
    assert table.columns == ['class', 'supervised', 'unimatch']
    assert [row[0] for row in table.rows] == ['road', 'sky']  # never occurs, nowhere
    assert table.rows[0][2] == f'{100 * (mean + 0.2):.1f}' and table.rows[1][2] == f'{100 * (mean - 0.2):.1f}'
    _, scores = make(tmp_path / 'other', 's4mc')
    groups, _ = groups_of(folder, tmp_path / 'other')
    table = tables.class_table(groups)
    assert table.columns[1:] == ['supervised [test]', 'unimatch [test]', 's4mc [val]']
    assert table.rows[0][3] == f'{100 * (scores[-1] + 0.1):.1f}' and 'must not be compared' in table.notes[1]


def test_groups_are_named_by_what_differs(tmp_path):
    for number, (method, split, tau) in enumerate([('unimatch', '1_8', 0.95), ('unimatch', '1_8', 0.9),
                                                   ('s4mc', '1_8', 0.95), ('s4mc', '1_8', 0.95)]):
        make(tmp_path / str(number), method, number, data__split=split, method__tau=tau)
    groups, _ = groups_of(tmp_path)
    assert [g.name for g in groups] == ['unimatch (tau=0.95)', 'unimatch (tau=0.9)', 's4mc']
    assert [[run.seed for run in g.runs] for g in groups] == [[0], [1], [2, 3]]
    assert len({g.color for g in groups}) == 3
    make(tmp_path / 'z', 's4mc', 0, data__split='1_4', method__tau=0.95)
    groups, _ = groups_of(tmp_path)
    assert [g.name for g in groups] == ['unimatch (split=1_8, tau=0.95)', 'unimatch (split=1_8, tau=0.9)',
                                        's4mc (split=1_8)', 's4mc (split=1_4)']
    rows = tables.summary_table(groups).rows
    assert [row[9] for row in rows] == ['reference', '–', '–', 'reference']  # no common seed; other split


def test_fifteen_groups_differ_in_colour_or_line(tmp_path):
    for number in range(15):
        make(tmp_path / f'{number:02d}', method__tau=0.5 + number / 100, test=0.5, steps=(300,))
    groups, _ = groups_of(tmp_path)
    assert len({(g.color, g.dashes) for g in groups}) == len({g.name for g in groups}) == 15
    page, _ = make_report([str(tmp_path)], str(tmp_path / 'out'), images=0)
    assert page.read_text().count('<img') >= 4


def test_a_run_counts_once(tmp_path):
    make(tmp_path / 'a', steps=(100,))
    make(tmp_path / 'b', steps=(100, 200))
    groups, notes = groups_of(tmp_path, tmp_path / 'a')
    assert [str(run.path.name) for run in groups[0].runs] == ['b'] and 'left out' in notes[0]


def test_curves_hold_one_line_a_group(world, tmp_path, monkeypatch):
    folder, val, _ = world
    _, alone = make(tmp_path / 'single', 's4mc', 9)
    make(folder / 'longer', 'unimatch', 7, steps=(100, 200), total=300)
    figures = []
    monkeypatch.setattr(curves, 'png', lambda figure: figures.append(figure) or b'')
    groups, _ = groups_of(folder, tmp_path / 'single')
    curves.learning_curves(groups)
    axes = figures[0].axes[0]
    by_color = {g.name: [line for line in axes.lines if line.get_color() == g.color] for g in groups}
    mean = by_color['supervised'][0]
    np.testing.assert_allclose(mean.get_ydata(), 100 * np.mean(list(val['supervised'].values()), 0))
    assert by_color['unimatch'][0].get_xdata().tolist() == [100, 200]  # as far as all seeds have got
    assert [line.get_xdata()[-1] for line in by_color['unimatch'][1:]].count(300) == 3
    assert len(by_color['s4mc']) == 1 and by_color['s4mc'][0].get_linewidth() < mean.get_linewidth()
    np.testing.assert_allclose(by_color['s4mc'][0].get_ydata(), 100 * np.array(alone))
    low = axes.collections[[g.name for g in groups].index('supervised')].get_paths()[0].vertices[:, 1]
    assert low.min() == pytest.approx(100 * np.min(list(val['supervised'].values())))
    curves.pseudo_label_curves(groups)
    titles = [a.get_title(loc='left') for a in figures[1].axes]
    assert titles == ['kept pixels, %']  # accuracy_kept is null in every line
    assert curves.loss_curves(groups).name == 'losses' and len(figures[2].axes) == 2


def test_cost(tmp_path):
    passes = [{'call': 'student', 'views': ['x', 's1'], 'encoded': 16, 'decoded': 24, 'gradient': True}]
    make(tmp_path / 'a', 'supervised', cost={'step_seconds': 0.2, 'device_bytes': 2**31})
    make(tmp_path / 'b', 'unimatch', cost={'step_seconds': 0.3, 'flops': 5e9, 'passes': passes})
    make(tmp_path / 'c', 's4mc')
    groups, _ = groups_of(tmp_path)
    table, calls = tables.cost_tables(groups)
    rows = [dict(zip(table.columns, row)) for row in table.rows]
    assert [row['seconds a step'] for row in rows] == ['0.200 (x 1.00)', '0.300 (x 1.50)', '–']
    assert rows[0]['device memory, GiB'] == '2.00 (x 1.00)' and rows[1]['GFLOP a step'] == '5.0'
    assert rows[0]['GFLOP a step'] == rows[2]['images/s'] == '–'
    assert calls.rows == [['unimatch', 'student', 'x s1', '16', '24', 'yes']]
    assert tables.cost_tables(groups[2:]) == []


class Reader(html.parser.HTMLParser):
    """Checks that tags close in order; keeps attributes and text."""

    VOID = {'meta', 'img', 'br', 'link'}

    def __init__(self):
        super().__init__()
        self.open, self.attributes, self.text = [], [], ''

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_page_is_whole_and_self_contained(world, tmp_path):
    folder, _, test = world
    name = '<b>$x_1$ & "y|"</b>'
    make(folder / 'odd', name, 0, 0.25)
    page, problems = make_report([str(folder)], str(tmp_path / 'out' / 'deep'), images=0)
    assert page == tmp_path / 'out/deep/index.html' and problems == []
    source, reader = page.read_text(), Reader()
    reader.feed(source)
    reader.close()
    assert reader.open == [] and name in reader.text and '<b>' not in source
    assert 'http' not in source and '@import' not in source and 'url(' not in source
    linked = [(tag, value) for tag, key, value in reader.attributes if key in ('src', 'href')]
    assert {tag for tag, _ in linked} == {'a', 'img'}
    assert all(value.startswith('#') for tag, value in linked if tag == 'a')
    files = sorted(page.parent.glob('*.png'))
    embedded = [base64.b64decode(value.removeprefix('data:image/png;base64,'))
                for tag, value in linked if tag == 'img']
    assert sorted(embedded) == sorted(file.read_bytes() for file in files)
    assert {file.stem for file in files} == {'scores', 'learning_curves', 'class_iou', 'pseudo_labels', 'losses',
                                             'pseudo_labels_kept', 'pseudo_labels_accuracy_kept'}
    for picture in embedded:
        assert min(Image.open(io.BytesIO(picture)).size) > 100
    summary = (page.parent / 'report.md').read_text()
    assert text(list(test['unimatch'].values())) in summary and text(list(test['unimatch'].values())) in reader.text
    table = [line for line in summary.splitlines() if line.startswith('|')]
    assert len({len(re.findall(r'(?<!\\)\|', line)) for line in table[:5]}) == 1  # the name's bar ends no cell


def test_what_must_be_known_is_said(tmp_path):
    make(tmp_path / 'a', 'supervised', total=900, test=0.5)
    make(tmp_path / 'b', 'unimatch', test=0.5, protocol={**PROTOCOL, 'mode': 'sliding'})
    folder, scores = make(tmp_path / 'c', 's4mc', test=0.5)
    file = folder / 'eval/test-best-teacher.json'
    stale = json.loads(file.read_text()) | {'step': (100, 200, 300)[int(np.argmin(scores))], 'images': 4}
    file.write_text(json.dumps(stale))
    with (tmp_path / 'b/metrics.jsonl').open('a') as lines:
        lines.write('{"step": 350, "spl')
    page, problems = make_report([str(tmp_path)], str(tmp_path / 'out'), images=0)
    source = page.read_text()
    assert problems == []
    for part in ('a is not finished: step 300 of 900', 'mode is sliding or whole', 'numbers of images: 4, 5',
                 'c: test-best-teacher is of step', 'half written'):
        assert part in source, part


@pytest.fixture(scope='module')
def real(tmp_path_factory):
    """Copies of a run with a checkpoint, under two seeds; the second lost its checkpoint."""
    workdir, config, _ = tiny_run.shared(tmp_path_factory)
    root = tmp_path_factory.mktemp('real')
    for name, method, seed in (('one', 'unimatch_v2', 0), ('two', 'fixmatch', 1)):
        shutil.copytree(workdir, root / name, ignore=shutil.ignore_patterns('eval'))
        stored = json.loads((root / name / 'config.json').read_text())
        stored['seed'], stored['method']['name'] = seed, method
        (root / name / 'config.json').write_text(json.dumps(stored))
    shutil.rmtree(root / 'two/checkpoints')
    return root, config


def test_predictions_are_those_of_the_run(real):
    root, config = real
    groups, _ = groups_of(root)
    (gallery,), notes = predictions.predict(groups, 3, say=lambda line: None)
    source = data.open_source(config.data)
    samples = source.splits['val']
    assert gallery.split == 'val' and gallery.ids == [samples[i].id for i in (0, 1, 3)]
    predictor = s4mim_jax.load(root / 'one')
    expected = predictor([np.asarray(Image.open(samples[i].image)) for i in (0, 1, 3)])
    (group, about, found), = gallery.predictions
    assert (group.name, about) == ('unimatch_v2', 'seed 0, teacher of step 3')
    for mine, wanted, label, i in zip(found, expected, gallery.labels, (0, 1, 3)):
        np.testing.assert_array_equal(mine, wanted)
        np.testing.assert_array_equal(label, np.asarray(Image.open(samples[i].mask)))
    assert len(notes) == 1 and 'fixmatch is not shown' in notes[0] and 'checkpoints' in notes[0]


def test_report_of_a_real_run(real, tmp_path, capsys):
    page, problems = make_report([str(real[0] / 'one')], str(tmp_path / 'out'), images=2)
    assert problems == [] and (tmp_path / 'out/predictions.png').stat().st_size > 5000
    assert 'nothing logged yet' in page.read_text() and 'predicting with unimatch_v2 (1/1)' in capsys.readouterr().out
    page, _ = make_report([str(real[0] / 'one')], str(tmp_path / 'out2'), 2, [('data.dir', '/missing/place')])
    assert '/missing/place: no such folder' in page.read_text()
    assert not (tmp_path / 'out2/predictions.png').exists()


def command(*arguments):
    return subprocess.run([sys.executable, '-m', 's4mim_jax.report', *map(str, arguments)], cwd=ROOT, text=True,
                          env={**os.environ, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': ''}, capture_output=True, timeout=300)


def test_command_line_and_exit_statuses(world, tmp_path):
    folder, _, _ = world
    done = command(folder, f'--output={tmp_path / "out"}', '--images=0')
    assert done.returncode == 0, done.stderr
    assert '6 run(s) in 2 group(s)' in done.stdout and str(tmp_path / 'out/index.html') in done.stdout
    bad, _ = make(folder / 'bad', 's4mc')
    rows = (bad / 'metrics.jsonl').read_text().splitlines()
    (bad / 'metrics.jsonl').write_text('\n'.join([rows[0], '{"step": 1', *rows[1:]]) + '\n')
    done = command(folder, f'--output={tmp_path / "out"}', '--images=0')
    assert done.returncode == 1 and f'left out: {bad}/metrics.jsonl, line 2' in done.stderr
    assert '6 run(s)' in done.stdout and f'{bad}/metrics.jsonl, line 2' in (tmp_path / 'out/index.html').read_text()
    for arguments, message in (((bad, '--output=out'), 'line 2'), ((folder,), '--output is missing'),
                               (('--output=out',), 'no folder'),
                               ((folder, '--output=out', '--images=-1'), '--images=-1'),
                               ((folder, '--output=out', '--config.seed=1'), 'valid: --config.data.dir')):
        done = command(*arguments)
        lines = done.stderr.strip().splitlines()
        assert done.returncode == 2 and message in done.stderr and len(lines) <= 3, done.stderr
        assert 'Traceback' not in done.stderr and not (ROOT / 'out').exists()


def test_bad_folders(world, tmp_path):
    folder, _, _ = world
    with pytest.raises(InputError, match='missing: no such folder'):
        make_report([str(tmp_path / 'missing')], str(tmp_path / 'out'))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match='empty: no run found.*metrics.jsonl'):
        make_report([str(tmp_path / 'empty')], str(tmp_path / 'out'))
    _, problems = make_report([str(folder), str(tmp_path / 'empty')], str(tmp_path / 'out'), images=0)
    assert len(problems) == 1 and 'empty' in problems[0]
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match=f'--output={tmp_path}/file/x cannot be written'):
        make_report([str(folder)], str(tmp_path / 'file/x'), images=0)
    assert len(run_files.find_runs([str(tmp_path)])[0]) == 6  # runs/METHOD/SEED is three levels deep
    make(tmp_path / 'a/b/c/d', 'unimatch', 0)
    assert len(run_files.find_runs([str(tmp_path)])[0]) == 6


@pytest.mark.parametrize('file, content, message', [
    ('config.json', '{"seed": 0', 'config.json: not valid JSON'),
    ('config.json', '{"seed": 0}', 'no key method.name'),
    ('config.json', None, 'config.json: cannot be read'),
    ('run.json', '[]', 'a JSON list where an object'),
    ('run.json', '{}', 'no classes or no split'),
    ('metrics.jsonl', '{"split": "val"}\n', 'line 1.*no .step.'),
    ('metrics.jsonl', '3\n', 'line 1'),
])
def test_broken_runs(tmp_path, file, content, message):
    path, _ = make(tmp_path / 'run')
    (path / file).unlink()
    if content is not None:
        (path / file).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        run_files.read_run(path)
    assert len(str(caught.value).splitlines()) <= 3


def test_broken_results_are_left_out(tmp_path):
    path, _ = make(tmp_path / 'run', test=0.5)
    (path / 'eval/test-best-teacher.json').write_text('{"miou": NaN, "iou": {}}')
    (path / 'cost.json').write_text('{')
    run, problems = run_files.read_run(path)
    assert run.test is None and run.cost == {} and len(problems) == 2
    assert 'no miou' in problems[0] and 'cost.json: not valid JSON' in problems[1]
    shutil.copy(make(tmp_path / 'other', test=0.25, file='test')[0] / 'eval/test.json', path / 'eval')
    run, _ = run_files.read_run(path)
    assert run.test.values['miou'] == 0.25 and run.test.checkpoint.startswith('step ')


def test_jax_comes_with_predictions_only(world, tmp_path):
    code = (f'import sys; from s4mim_jax.report import make_report; make_report([{str(world[0])!r}], '
            f'{str(tmp_path / "out")!r}, images=0); print(sorted({{"jax", "tensorflow"}} & set(sys.modules)))')
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True,
                          timeout=300)
    assert done.stdout.endswith('[]\n')
