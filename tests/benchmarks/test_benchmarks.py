"""The benchmarks measure what they say: grid, ceiling, memory, parity, provenance."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pages
import pytest
import tiny

from s4mim_jax.config.errors import InputError
from s4mim_jax.training import create_state, make_train_step

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'benchmarks'))
import input as input_benchmark  # noqa: E402
import matmul  # noqa: E402
import methods  # noqa: E402
import parity  # noqa: E402
import provenance  # noqa: E402
import step  # noqa: E402
import step_grid  # noqa: E402

NARROW = ['--set', 'model.width=8', '--set', 'model.decoder_width=8', '--set', 'model.low_level_width=4']


def grid_arguments(*options):
    parser = argparse.ArgumentParser(exit_on_error=False)
    step_grid.add_arguments(parser)
    return parser.parse_args([f'--config={ROOT}/configs/shapes.py', *options])


# What step.py measures.

@pytest.mark.parametrize('text,expected', [
    ('supervised', ('supervised',)),
    ('supervised,fixmatch,supervised', ('supervised', 'fixmatch')),
    ('fixmatch,s4mc,selection.refinement=none,tau=0.5,union',
     ('fixmatch', 's4mc,selection.refinement=none,tau=0.5', 'union')),
    ('maskmatch,teacher.scales=(0.75,1.0),tau=0.9,union', ('maskmatch,teacher.scales=(0.75,1.0),tau=0.9', 'union'))])
def test_methods_are_told_from_their_settings(text, expected):
    assert step_grid.methods(text) == expected


@pytest.mark.parametrize('option', ['--methods=', '--methods=tau=0.5', '--crops=321', '--crops=0x5', '--crops=3x4x5',
                                    '--precisions=float16', '--batch=0', '--batch=-1', '--encoders=a,,b'])
def test_options_that_mean_nothing_are_refused_by_name(option):
    with pytest.raises(argparse.ArgumentError, match=option.partition('=')[0]):
        grid_arguments(option)


def test_the_grid_is_the_cross_product_and_every_config_is_as_asked():
    grid = step_grid.configs(grid_arguments('--methods=supervised,fixmatch,tau=0.5', '--encoders=resnet18,resnet34',
                                            '--precisions=float32,bfloat16', '--crops=33x32,64x48', '--batch=6',
                                            '--set', 'model.width=8'))
    assert len(grid) == 8 and len(set(grid)) == 8
    for setting, configs in grid.items():
        assert list(configs) == ['supervised', 'fixmatch,tau=0.5']
        for config in configs.values():
            assert (config.model.encoder, config.precision, tuple(config.data.crop)) == setting
            assert (config.batch.labeled, config.batch.unlabeled, config.model.width) == (6, 6, 8)
        assert configs['fixmatch,tau=0.5'].method.tau == 0.5


def test_without_lists_the_config_file_decides():
    (setting, configs), = step_grid.configs(grid_arguments('--methods=supervised')).items()
    assert setting == (None, None, None)
    assert tuple(configs['supervised'].data.crop) == (96, 96) and configs['supervised'].precision == 'float32'


@pytest.mark.parametrize('options,message', [
    (['--methods=nonsense'], 'unknown method'), (['--set', 'seed'], 'KEY=VALUE'), (['--set', 'model.wdth=8'], 'wdth')])
def test_a_config_that_cannot_be_made_is_an_input_error(options, message):
    with pytest.raises(InputError, match=message):
        step_grid.configs(grid_arguments(*options))


@pytest.mark.parametrize('count,held', [(1, 2), (2, 2), (5, 2), (5, 3), (5, 8), (7, 3)])
def test_groups_hold_no_more_than_asked_and_the_first_is_in_all(count, held):
    names = [f'method{i}' for i in range(count)]
    found = step_grid.groups(names, held)
    assert all(group[0] == names[0] and len(group) <= held for group in found)
    assert [name for group in found for name in group[1:]] == names[1:]


def test_step_refuses_before_it_compiles(monkeypatch, capsys):
    for options, message in ((['--methods=nonsense'], 'unknown method'),
                             (['--methods=supervised', '--batch=3', '--devices=2'], 'divisible'),
                             (['--devices=99'], 'this process has'), (['--held=1'], '--held=1')):
        monkeypatch.setattr(sys, 'argv', ['step.py', f'--config={ROOT}/configs/shapes.py', *options])
        try:
            status = step.main()
        except SystemExit as end:
            status = end.code
        assert status == 2 and message in capsys.readouterr().err


# Ceiling, memory, arithmetic.

@pytest.mark.parametrize('precision', ['float32', 'bfloat16'])
def test_the_ceiling_counts_its_products(precision):
    found = matmul.matmul_flops(precision, jax.devices()[:2], size=64, rounds=2)
    assert found['flops_per_second'] * found['seconds'] == pytest.approx(found['chain'] * 2 * 64**3)


class Device:
    """Reports the memory of a step that needs 500 bytes beside 100 of its arguments, while others hold 1000."""

    platform = 'gpu'

    def __init__(self, peak):
        self.in_use, self.peak = 1100, peak

    def memory_stats(self):
        return {'bytes_in_use': self.in_use, 'peak_bytes_in_use': self.peak}

    def step(self, state, batch):
        self.peak = max(self.peak, self.in_use + 500)
        return jnp.zeros(()), None


@pytest.mark.parametrize('earlier,expected', [(1200, (600 / 2**30, 'device')), (5000, (7.0, 'compiler'))])
def test_peak_memory_is_the_steps_own_or_the_compilers(earlier, expected):
    """An earlier, higher peak of the process hides this step's."""
    device = Device(earlier)
    run = {'device': device, 'step': device.step, 'state': None, 'batch': None, 'argument_bytes': 100, 'gib': 7.0,
           'wall': [], 'cpu': []}
    step.first_step(run)
    assert (run['peak_gib'], run['peak_from']) == expected
    assert run['wall'] == run['cpu'] == []


def test_a_methods_own_cost_is_written_with_the_machine_it_was_measured_on(monkeypatch, tmp_path):
    """256 MiB beside 768 MiB in all; the method took 3, 2 and 4 times its host's step, so 3 times."""
    def measure(budgets, config_file, num_classes, rounds, overrides):
        assert [row[0] for row in budgets] == ['s4mc']
        memory = SimpleNamespace(temp_size_in_bytes=2**28)
        run = lambda seconds: {'step': SimpleNamespace(memory_analysis=lambda: memory), 'wall': seconds, 'cpu': [9.0],
                               'compile_s': 12.5, 'gflop': 2.0, 'gib': 0.75}
        return ({'fixmatch': run([1.0, 2.0, 1.0]), 's4mc': run([3.0, 4.0, 4.0])},
                {name: tiny.config(name) for name in ('fixmatch', 's4mc')})

    monkeypatch.setattr(methods, 'measure', measure)
    monkeypatch.setattr(sys, 'argv', ['methods.py', '--only=s4mc', f'--output={tmp_path}/methods.json'])
    methods.main()
    result = json.loads((tmp_path / 'methods.json').read_text())
    row, (ratio,) = result['methods']['s4mc'], result['ratios']
    assert (row['compile_s'], row['temporary_gib'], row['memory_gib'], row['step_s']) == (12.5, 0.25, 0.75, 4.0)
    assert (ratio['host'], ratio['ratio']) == ('fixmatch', 3.0)
    assert result['cores'] == os.cpu_count() and len(result['load']) == 3
    assert result['versions']['jax'] == jax.__version__
    assert result['command'] == 'benchmarks/methods.py --only=s4mc --output=methods.json'
    assert methods.table(result).splitlines()[2:] == [
        '| `fixmatch` | 1.00 | 12 | 2.0 | 0.25 | - | - | - | - |',
        '| `s4mc` | 4.00 | 12 | 2.0 | 0.25 | `fixmatch` | 3.00 over | 1.00 | 1.03 |']


def test_no_method_has_always_the_same_one_before_it(monkeypatch):
    order = []
    monkeypatch.setattr(methods, 'load_config', lambda argument, overrides: argument.partition(':')[2])
    monkeypatch.setattr(methods, 'prepare', lambda config, classes: {'name': config, 'wall': [], 'cpu': []})
    monkeypatch.setattr(methods, 'one_step', lambda run: order.append(run['name']))
    runs, _ = methods.measure(methods.BUDGETS, 'file', 11, 15, [])
    assert all(order.count(name) == 16 for name in runs) and len(order) == 16 * len(runs)
    for name in runs:
        assert len({before for before, after in zip(order, order[1:]) if after == name}) > 3


@pytest.mark.slow
def test_arithmetic_counted_before_and_after_optimisation_is_about_the_same():
    """A GPU's compiled program hides its convolutions in calls; there the count before optimisation stands in."""
    config = tiny.config('supervised', model__width=16)
    devices = jax.devices()[:1]
    lowered = make_train_step(config, tiny.CLASSES).lower(create_state(config, tiny.CLASSES), tiny.batch(config))
    compiled = lowered.compile()
    after = step.flops(config, lowered, compiled, devices)
    before = step.flops(config, lowered, compiled, [SimpleNamespace(platform='gpu')])
    assert before == pytest.approx(after, rel=0.15)
    assert step.flops(config, lowered, compiled, [SimpleNamespace(platform='gpu')] * 4) == before / 4


# Provenance, parity, input.

def test_a_command_is_told_by_name():
    text = provenance.command('/anywhere/benchmarks/step.py', [
        f'--config={ROOT}/configs/voc.py:s4mim,split=92', '--output=/secret/place/out.json', '--set', 'seed=3',
        '/secret/runs/one'])
    assert text == 'benchmarks/step.py --config=configs/voc.py:s4mim,split=92 --output=out.json --set seed=3 one'


def test_what_the_figures_depend_on_is_named():
    found = provenance.device(2)
    assert found['device'].startswith(jax.default_backend()) and found['devices'] == 2
    assert found['versions']['jax'] == jax.__version__ and all(found['versions'].values())


def test_parity_sees_a_planted_difference():
    reference = {'loss 1': np.float32(2.0), 'loss/supervised 2': np.float32(1.0),
                 "['params']['a']": np.array([4.0, 0.0]), "['batch_stats']['b']": np.ones(3)}
    assert set(parity.differences(reference, dict(reference)).values()) == {0.0}
    found = parity.differences(reference, reference | {"['params']['a']": np.array([4.0, 0.04])})
    assert found == {'first loss': 0, 'losses': 0, 'parameters': pytest.approx(0.01), 'statistics': 0}
    assert parity.differences(reference, reference | {'loss 1': np.float32('nan')})['first loss'] == np.inf
    del reference['loss 1']
    assert max(parity.differences(reference, reference | {'loss 1': np.float32(2.0)}).values()) == np.inf


def test_input_tells_the_bytes_that_a_step_sends(monkeypatch, capsys, tmp_path):
    figures = {'images_per_batch': 16, 'batch_bytes': 1_234_567,
               'images_per_cpu_second': 100.0, 'images_per_second': 90.0}
    monkeypatch.setattr(input_benchmark, 'in_own_process', lambda task: dict(figures))
    monkeypatch.setattr(sys, 'argv', ['input.py', '--step_ms=200', f'--output={tmp_path}/input.json'])
    input_benchmark.main()
    assert '1,234,567 bytes a step' in capsys.readouterr().out
    assert json.loads((tmp_path / 'input.json').read_text())['step']['host_to_device_bytes'] == 1_234_567


# The whole of step.py.

@pytest.mark.slow
def test_step_measures_without_tensorflow_and_writes_what_it_measured(tmp_path):
    code = ('import runpy, sys\ntry:\n    runpy.run_path("benchmarks/step.py", run_name="__main__")\n'
            'finally:\n    print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules}))')
    environment = os.environ | {'PYTHONPATH': f'{ROOT}/benchmarks:{ROOT}'}
    options = ['--methods=supervised,fixmatch', '--precisions=bfloat16', '--crops=33x32', '--batch=4', '--devices=2',
               '--rounds=2', '--classes=5', f'--output={tmp_path}/step.json', *NARROW]
    done = subprocess.run([sys.executable, '-c', code, f'--config={ROOT}/configs/shapes.py', *options], cwd=ROOT,
                          env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    assert 'jax' in loaded and not loaded & {'tensorflow', 'clu', 'orbax', 'tensorflow_datasets'}
    text = (tmp_path / 'step.json').read_text()
    assert str(ROOT) not in text and str(tmp_path) not in text
    result = json.loads(text)
    assert result['devices'] == 2 and result['missing'] == [] and 'jax' in result['versions']
    first, second = result['runs']
    assert (first['method'], first['ratio'], second['method']) == ('supervised', 1.0, 'fixmatch')
    for row in result['runs']:
        assert (row['precision'], row['crop'], row['batch']['labeled']) == ('bfloat16', [33, 32], 4)
        assert row['tflops_per_s'] == pytest.approx(row['gflop'] / row['step_s'] / 1e3)
        assert 0 < row['of_ceiling'] < 1 and row['peak_gib'] > 0
    assert first['images_per_s'] == pytest.approx(4 / first['step_s'])
    assert second['images_per_s'] == pytest.approx(8 / second['step_s'])  # unlabelled crops count too
    assert second['gflop'] > 1.5 * first['gflop']


def test_the_pages_show_the_tables_of_the_committed_results():
    results = ROOT / 'benchmarks' / 'results'
    assert pages.between('ablation') == (results / 'history' / 'ablation' / 'table.md').read_text()
    assert len(pages.between('ablation').splitlines()) > 10
    assert pages.between('evidence') == (results / 'evidence' / 'table.md').read_text()
    for method, host in (('fixmatch', 'labelled-only'), ('s4mc', 'FixMatch'), ('maskmatch', 'FixMatch'),
                         ('masksup', 'FixMatch'), ('s4mim', 'its base')):
        row = next(row for row in pages.rows('evidence') if row[0] == method)
        mean, low, high = map(float, re.match(r'([+-][\d.]+) \[([+-][\d.]+), ([+-][\d.]+)\]', row[5]).groups())
        said = f'{mean:+.1f} points of mIoU [{low:+.1f}, {high:+.1f}]'
        line, = (line for line in (ROOT / 'README.md').read_text().splitlines() if line.startswith(f'| `{method}`'))
        assert said in line and f'over {host}' in line and ('**' in line) == (low > 0), said
    for split in ('1_30', '1_16'):
        table = results / 'evidence_camvid' / split / 'table.md'
        if table.exists():
            assert pages.between(f'camvid_{split}') == table.read_text()
    assert pages.between('first_round') == (results / 'history' / 'first_round' / 'table.md').read_text()
    assert pages.between('cost') == methods.table(json.loads((results / 'methods_camvid.json').read_text()))
