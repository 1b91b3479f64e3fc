"""The plan: its model of time by hand, slices by name, the command from end to end, and what it refuses."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
import tiny
from fork_server import QUICK_COMPILES

from s4mim_jax.config.errors import InputError
from s4mim_jax.models import conv
from s4mim_jax.parallel.hlo import Instruction
from s4mim_jax.parallel.target import built_for
from s4mim_jax.planning import dataset, report
from s4mim_jax.planning.memo import Memo
from s4mim_jax.planning.program import _sizes, abstract_batch, tree_bytes
from s4mim_jax.planning.time_model import HOP_SECONDS, collective_time, step_time
from s4mim_jax.planning.topologies import CHIPS, LAYOUTS, Slice, parse

ROOT = Path(__file__).resolve().parents[2]
TINY = ['--config.model.encoder=resnet18', '--config.model.width=4', '--config.model.decoder_width=4',
        '--config.model.low_level_width=2', '--config.data.crop=(32,32)']
LIBTPU = importlib.util.find_spec('libtpu') is not None


@pytest.fixture(scope='module')
def environment(tmp_path_factory):
    """As a user's shell would be, with a home of its own."""
    home = tmp_path_factory.mktemp('home')
    kept = {k: v for k, v in os.environ.items() if k != 'S4MIM_DATA'}
    return kept | {'HOME': str(home), 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': QUICK_COMPILES,
                   'PYTHONUNBUFFERED': '1'}


def plan(environment, *arguments, config='configs/shapes.py:supervised', timeout=300):
    return subprocess.run([sys.executable, '-m', 's4mim_jax.plan', f'--config={config}', *arguments], cwd=ROOT,
                          env=environment, capture_output=True, text=True, timeout=timeout, check=False)


# --- the model of time, against numbers worked out by hand

def all_reduce(size, group=16, times=1):
    return Instruction('all-reduce', size, group, times, '')


def test_all_reduce_on_a_mesh_without_wrap_around_links():
    """v5e:4x4, 16 MB. 4 chips in a line at 50 GB/s: 3/4 * 16 MB / 50 GB/s = 240 us out, then a quarter of it."""
    expected = 2 * (240e-6 + 60e-6) + 2 * 6 * HOP_SECONDS
    assert collective_time(all_reduce(16e6), Slice('v5e', (4, 4))) == pytest.approx(expected)


def test_all_reduce_on_rings():
    """v5e:16x16, 16 MB, both directions, 100 GB/s: 15/16 * 16 MB / 100 GB/s = 150 us, then a sixteenth of it."""
    expected = 2 * (150e-6 + 9.375e-6) + 2 * 30 * HOP_SECONDS
    assert collective_time(all_reduce(16e6, 256), Slice('v5e', (16, 16))) == pytest.approx(expected)


def test_an_all_reduce_is_a_reduce_scatter_and_an_all_gather():
    for where in (Slice('v5p', (4, 4, 8)), Slice('v6e', (2, 4)), Slice('v4', (2, 2, 1))):
        n = where.chips
        gather = collective_time(Instruction('all-gather', 1 << 20, n, 1, ''), where)
        scatter = collective_time(Instruction('reduce-scatter', (1 << 20) // n, n, 1, ''), where)
        assert gather + scatter == pytest.approx(collective_time(all_reduce(1 << 20, n), where))


def test_a_group_of_four_lies_along_the_last_axis():
    """Without its wrap-around links, as it is a part of the axis: 2 * 3/4 * 8 MB / 50 GB/s."""
    part = collective_time(all_reduce(8e6, 4), Slice('v5e', (16, 16)))
    assert part == pytest.approx(240e-6 + 2 * 3 * HOP_SECONDS)


def test_one_chip_communicates_nothing():
    assert collective_time(all_reduce(1e9, 1), Slice('v5e', (1, 1))) == 0


def test_step_time_and_both_bounds():
    """v5e: 0.788 TFLOP at .4 of 197 TFLOP/s is 10 ms; two all-reduces of 16 MB on 4x4 are 1,224 us."""
    where = Slice('v5e', (4, 4))
    time = step_time(0.788e12, [all_reduce(16e6, times=2)], where, 0.4)
    assert time.compute == time.work == pytest.approx(10e-3)
    assert time.communication == pytest.approx(1.224e-3)
    assert time.overlapped == pytest.approx((10e-3, 1.0))
    assert time.exposed == pytest.approx((11.224e-3, 10 / 11.224))
    slow_memory = step_time(0.788e12, [], where, 0.4, bytes_accessed=16.38e9)  # at 819 GB/s: 20 ms
    assert slow_memory.work == slow_memory.hbm == pytest.approx(20e-3)
    both = step_time(0.788e12, [all_reduce(16e6, times=2)], where, 0.4, bytes_accessed=16.38e9)
    assert both.exposed[1] == pytest.approx(20 / 21.224) and both.least_efficiency == pytest.approx(10 / 11.224)
    measured = step_time(0.788e12, [all_reduce(16e6)], where, 0.4, measured=0.306e-3)
    assert measured.overlapped == pytest.approx((0.612e-3, 0.5))


# --- names and sizes

@pytest.mark.parametrize('text, name, chips', [
    ('v5e:4x4', 'v5e:4x4', 16), ('v5litepod-16', 'v5e:4x4', 16), ('v5litepod-256', 'v5e:16x16', 256),
    ('v6e-16', 'v6e:4x4', 16), ('v4-32', 'v4:2x2x4', 16), ('v5p-8', 'v5p:2x2x1', 4), ('V5E:2x4', 'v5e:2x4', 8)])
def test_slices_by_name(text, name, chips):
    where = parse(text)
    assert (where.name, where.chips) == (name, chips)
    assert parse(where.cloud_name) == where


def test_every_slice_has_a_name_of_the_cloud_and_links_for_its_axes():
    for generation, layouts in LAYOUTS.items():
        for layout in layouts:
            where = parse(f'{generation}:{layout}')
            assert parse(where.cloud_name) == where and CHIPS[generation].links == 2 * len(where.axes)
    assert parse('v5e:8x16').rings == (False, True) and parse('v4:4x4x8').rings == (True,) * 3
    assert parse('v5p:2x2x4').rings == (False,) * 3


@pytest.mark.parametrize('text, words', [
    ('v7x:2x2', ['v7x:2x2', 'v4:', 'v5e:', 'v6e:', '16x16']), ('v5e:3x3', ['v5e:3x3', 'v5e:4x4']),
    ('v5litepod-17', ['v5litepod-16 = v5e:4x4']), ('', ['unknown slice']), ('v5e', ['v5e:2x4'])])
def test_unknown_slices(text, words):
    with pytest.raises(InputError) as error:
        parse(text)
    assert all(word in str(error.value) for word in words), error.value
    assert len(str(error.value).splitlines()) <= 3


def test_the_abstract_batch_is_what_the_pipeline_delivers():
    for method in ('supervised', 'unimatch', 'unimatch_v2'):
        config = tiny.config(method)
        abstract, real = abstract_batch(config), tiny.batch(config)
        if method == 'supervised':
            real.pop('unlabeled')
        described, delivered = ({kind: {name: (x.shape, x.dtype) for name, x in part.items()}
                                 for kind, part in tree.items()} for tree in (abstract, real))
        assert described == delivered
        assert tree_bytes(abstract) == sum(x.nbytes for part in real.values() for x in part.values())


def test_convolutions_take_the_form_of_the_device_that_is_planned_for():
    image, kernel = jnp.ones((1, 4, 4, 2)), jnp.ones((3, 3, 2, 2))

    def convolutions():  # a new function each time: JAX keeps what it traced
        return str(jax.make_jaxpr(lambda x: conv.convolve(x, kernel, dilation=6))(image)).count('conv_general_dilated')

    assert convolutions() == 0
    with built_for('tpu'):
        assert convolutions() == 1
    assert convolutions() == 0


def test_the_compilers_refusal_is_read():
    sizes = (int(17.5 * 2**30), int(15.75 * 2**30))
    assert _sizes('RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required '
                  'for HLO temporaries (17.50G) exceeds available HBM (15.75G). HLO module: jit_step.') == sizes
    assert _sizes('RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 17.50G of 15.75G hbm.') == sizes
    assert _sizes('something else') == (None, None)


def test_a_step_that_does_not_fit_is_said_with_numbers_and_what_to_try():
    told = {'memory': {'fits': False, 'total': int(17.5 * 2**30), 'limit': int(15.75 * 2**30), 'message': 'E1000'},
            'precision': 'float32', 'model': {'remat': False},
            'batch': {'labeled_per_device': 4, 'unlabeled_per_device': 4, 'accumulate': 1}}
    text = report.after(told)
    for words in ('DOES NOT FIT', '17.50 GiB', '15.75 GiB', 'E1000', 'bfloat16', 'remat=true', 'accumulate=2'):
        assert words in text
    told['batch'].update(labeled_per_device=1, unlabeled_per_device=0)
    assert 'accumulate' not in report.after(told) and 'crop' in report.after(told)


def test_classes_and_images_without_and_with_a_dataset(tmp_path, monkeypatch):
    monkeypatch.delenv('S4MIM_DATA', raising=False)
    monkeypatch.chdir(tmp_path)  # no data/ here
    config = tiny.config('fixmatch')
    config.data.name = 'voc'
    assert dataset.look_up(config, True)[:2] == (21, None)
    assert dataset.look_up(config, True, num_classes=5, images=7)[:2] == (5, 7)
    config.data.update(name='folder', dir=str(tmp_path / 'nothing'))
    with pytest.raises(InputError, match='num_classes'):
        dataset.look_up(config, True)
    import tiny_run
    tiny_run.dataset(tmp_path / 'images_here')
    config.data.update(dir=str(tmp_path / 'images_here'), split='seeded:2/5')
    assert dataset.look_up(config, True)[:2] == (tiny.CLASSES, 3)
    assert dataset.look_up(config, False)[:2] == (tiny.CLASSES, 2)
    config.data.split = 'all'
    assert dataset.look_up(config, True)[:2] == (tiny.CLASSES, 5)
    config.data.name = 'imagenet'
    with pytest.raises(InputError, match='imagenet'):
        dataset.look_up(config, True)


def test_what_the_compiler_said_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr('importlib.metadata.version', lambda package: '1')

    class Lowered:
        def __init__(self, text):
            self.as_text = lambda: text

    memo = Memo(tmp_path / 'kept', 'v5e:4x4')
    assert memo.read(Lowered('a')) is None
    memo.write(Lowered('a'), {'flops': 2})
    assert memo.read(Lowered('a')) == {'flops': 2} and memo.read(Lowered('b')) is None
    assert Memo(tmp_path / 'kept', 'v5e:8x8').read(Lowered('a')) is None
    next((tmp_path / 'kept').iterdir()).write_text('{"half')
    assert memo.read(Lowered('a')) is None


# --- the command

def test_a_plan_for_eight_devices(environment, tmp_path):
    output = tmp_path / 'plan.json'
    done = plan(environment, *TINY, '--config.data.crop=(64,64)', '--devices=8', '--batch_per_device=2',
                '--images=160', '--measured_seconds=0.5', '--config.optimizer.learning_rate=0.004',
                f'--output={output}')
    assert done.returncode == 0, done.stderr
    for words in ('8 x cpu', '16 labelled', 'times 2: 0.008', '100.0 epochs of 160 images', 'compiling for 8 device(s)',
                  'all-reduce', 'fits', '1,000 steps: 0.14 h'):
        assert words in done.stdout, done.stdout
    result = json.loads(output.read_text())
    assert result['parameters']['total'] == sum(v for k, v in result['parameters'].items() if k != 'total') > 40_000
    assert result['batch'] | {'labeled': 16, 'unlabeled': 0, 'labeled_per_device': 2, 'reference': 8} == result['batch']
    assert result['schedule']['epochs'] == 100 and result['schedule']['steps_for_the_same_images'] == 500
    assert result['input']['bytes_a_step'] == 16 * (64 * 64 * 4 + 4)
    assert result['state_bytes']['parameters'] == 4 * result['parameters']['total']  # float32
    assert result['state_bytes']['optimizer'] > 2 * result['state_bytes']['parameters']  # AdamW's two moments
    assert result['memory']['fits'] and result['memory']['temporaries'] > 0
    assert result['flops']['global'] == 8 * result['flops']['per_device'] > 1e7
    only, = result['collectives']
    assert only['kind'] == 'all-reduce' and only['count'] > 20 and result['besides_all_reduce'] == []
    # All gradients are among them, but of taps of atrous convolutions that see padding only.
    assert 0.8 < only['bytes'] / result['state_bytes']['parameters'] < 1.2
    assert result['time']['exposed']['step_seconds'] == 0.5 and result['time']['assumptions']
    assert result['config']['total_steps'] == 1000 and result['devices']['topology'] is None


@pytest.mark.parametrize('arguments, words', [
    (['--topology=v9:2x2'], ['--topology=v9:2x2', 'v5e']),
    (['--topology=v5e:4x4', '--devices=2'], ['--devices=2', '--topology']),
    (['--config.total_stepz=1'], ['total_stepz', "'total_steps'"]),
    (['--devices=8', '--config.batch.labeled=12'], ['batch.labeled=12', '8 device', 'for example 16']),
    (['--output=/nowhere/plan.json'], ['--output=/nowhere/plan.json']),
    (['--utilization=1.5'], ['--utilization=1.5']),
    (['--config.data.name=folder'], ['folder', '--num_classes']),
])
def test_refused(environment, arguments, words):
    done = plan(environment, *arguments)
    assert done.returncode == 2 and 'Traceback' not in done.stderr, done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3, done.stderr


@pytest.mark.skipif(LIBTPU, reason='libtpu is installed here')
def test_missing_libtpu(environment):
    done = plan(environment, '--topology=v5litepod-16')
    assert done.returncode == 2 and 'launch/setup.sh plan' in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3


@pytest.mark.slow
@pytest.mark.skipif(not LIBTPU, reason='needs libtpu: launch/setup.sh plan')
def test_the_compilers_own_refusal():
    """A program of 18 GB for a chip of 16, compiled in a process of its own: libtpu leaves JAX set up for slices."""
    code = '''
import jax, jax.numpy as jnp
from s4mim_jax.planning import topologies
from s4mim_jax.planning.program import OutOfMemory, _compile
topologies.prepare_environment()
chip, = topologies.devices(topologies.parse('v5e:1x1'))
x = jax.ShapeDtypeStruct((40000, 40000), jnp.float32, sharding=jax.sharding.SingleDeviceSharding(chip))
told = _compile(None, jax.jit(lambda x: jnp.sort(x @ x, axis=0) @ x + x).lower(x), 0.0)
assert isinstance(told, OutOfMemory) and told.needed > told.limit > 15 * 2**30, told
'''
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not LIBTPU, reason='needs libtpu: launch/setup.sh plan')
def test_a_plan_for_a_slice(environment, tmp_path):
    """The whole step for eight chips that are not here; a second plan takes what the compiler said from disk."""
    output = tmp_path / 'plan.json'
    # Two images a device: CutMix swaps neighbours, which one image a device would send between devices.
    arguments = [*TINY, '--topology=v5litepod-8', '--batch_per_device=2', f'--output={output}',
                 '--config.precision=bfloat16']
    done = plan(environment, *arguments, config='configs/shapes.py:fixmatch', timeout=900)
    assert done.returncode == 0, done.stderr
    assert 'v5e:2x4' in done.stdout and 'efficiency' in done.stdout
    first = json.loads(output.read_text())
    assert first['devices'] | {'count': 8, 'platform': 'tpu', 'topology': 'v5e:2x4'} == first['devices']
    assert [c['kind'] for c in first['collectives']] == ['all-reduce'] and first['besides_all_reduce'] == []
    assert first['memory']['limit'] == 16 * 2**30 and 0 < first['memory']['total'] < 2**30 and first['memory']['fits']
    assert first['flops']['per_device'] > 1e6
    assert 0 < first['time']['exposed']['efficiency'] < first['time']['overlapped']['efficiency'] <= 1
    again = plan(environment, *arguments, '--utilization=0.2', config='configs/shapes.py:fixmatch', timeout=300)
    assert again.returncode == 0, again.stderr
    second = json.loads(output.read_text())
    assert second['compile_seconds'] == first['compile_seconds'] and second['memory'] == first['memory']
    assert second['time']['compute_seconds'] == pytest.approx(2 * first['time']['compute_seconds'])
