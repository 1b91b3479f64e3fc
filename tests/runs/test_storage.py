"""Checkpoints and the run folder where the disk, the place or the devices are not what they were."""

import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import types
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from fork_server import QUICK_COMPILES

from s4mim_jax.config.errors import InputError
from s4mim_jax.parallel import make_mesh, state_shardings
from s4mim_jax.runs import run_folder, storage
from s4mim_jax.runs.checkpoints import Checkpoints, restore_weights
from s4mim_jax.runs.monitoring import Monitor, truncate
from s4mim_jax.training.state import TrainState

# ---------------------------------------------------------------- retention


def small(step: int, size: int = 8) -> TrainState:
    """A state with little in it, or with `size` floats that do not compress."""
    draw = np.random.default_rng(step)
    array = lambda: jnp.asarray(draw.normal(size=size), jnp.float32)
    params = {'encoder': {'w': array()}, 'decoder': {'w': array()}}
    return TrainState(jnp.int32(step), jnp.uint32(0), params, {}, (array(),), None)


@contextlib.contextmanager
def opened(workdir):
    checkpoints = Checkpoints(workdir)
    try:
        yield checkpoints
    finally:
        checkpoints.close()


def test_only_the_latest_and_the_best_checkpoint_stay(tmp_path):
    """checkpoint.every=2, eval.every=3: step 3 and 9 are saved because they are the best."""
    best = {2: None, 3: 3, 4: 3, 6: 3, 8: 3, 9: 9, 10: 9}
    stay = {2: [2], 3: [3], 4: [3, 4], 6: [3, 6], 8: [3, 8], 9: [9], 10: [9, 10]}
    for part in ((2, 3, 4), (6, 8, 9, 10)):  # a second start knows the best of the first
        with opened(tmp_path) as checkpoints:
            for step in part:
                checkpoints.save(small(step), {'best_step': best[step]})
                checkpoints.wait()
                assert storage.finished_steps(tmp_path) == stay[step] and checkpoints.latest_step() == step
    assert sorted(os.listdir(tmp_path / 'checkpoints')) == ['10', '9']


def test_a_leftover_of_a_cut_off_save_is_no_checkpoint_and_goes_away(tmp_path):
    with opened(tmp_path) as checkpoints:
        checkpoints.save(small(1), {'best_step': None})
    half = tmp_path / 'checkpoints' / '2.orbax-checkpoint-tmp'
    half.mkdir()
    (half / 'weights').write_text('half')
    assert storage.finished_steps(tmp_path) == [1]
    with opened(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 1
        checkpoints.save(small(3), {'best_step': None})  # Orbax removes it beside us, and before it saves
        assert not half.exists()


# ---------------------------------------------------------------- disks that refuse


def refuses_and_keeps(checkpoints, workdir, why):
    """A save fails with the message; nothing but the finished checkpoint stays visible; the next one works."""
    with pytest.raises(storage.StorageError) as failure:
        checkpoints.save(small(2, 2**18), {'best_step': None})
        checkpoints.wait()
    first, second, third = str(failure.value).splitlines()
    assert first == f'{workdir}/checkpoints cannot be written ({why})'
    assert second == f'{workdir}/checkpoints keeps step 1' and 'same command' in third
    assert failure.value.status == 4 and storage.finished_steps(workdir) == [1]
    checkpoints.wait()  # it is said once
    assert checkpoints.latest_step() == 1


def reads_back(workdir, step):
    """Whether the arrays of a checkpoint are those that `small` drew, read without the package's own restore."""
    import orbax.checkpoint as ocp
    tree = ocp.PyTreeCheckpointer().restore(workdir.absolute() / 'checkpoints' / str(step) / 'weights')
    np.testing.assert_array_equal(tree['params']['encoder']['w'], small(step).params['encoder']['w'])


def test_a_file_size_limit_stops_a_save(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(tmp_path) as checkpoints:
        checkpoints.save(small(1), {'best_step': None})
        checkpoints.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
        try:
            refuses_and_keeps(checkpoints, tmp_path, 'File too large')
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        reads_back(tmp_path, 1)
        checkpoints.save(small(3), {'best_step': None})
        checkpoints.wait()
        reads_back(tmp_path, 3)


def test_an_error_that_nobody_waited_for_shows_on_closing(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    checkpoints = Checkpoints(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, limits[1]))
    try:
        checkpoints.save(small(2, 2**18), {'best_step': None})
        with pytest.raises(storage.StorageError, match='holds no finished checkpoint yet'):
            checkpoints.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    checkpoints.close()


@pytest.fixture
def disk(tmp_path):
    """A disk of 2 MiB; skipped where nothing may be mounted."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    done = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', str(folder)], capture_output=True,
                          text=True, check=False)
    if done.returncode:
        pytest.skip(f'no file system may be mounted here: {done.stderr.strip()}')
    yield folder
    subprocess.run(['umount', '-l', str(folder)], check=True)


def test_a_full_disk_stops_a_save(disk):
    with opened(disk / 'run') as checkpoints:
        checkpoints.save(small(1), {'best_step': None})
        checkpoints.wait()
        refuses_and_keeps(checkpoints, disk / 'run', 'No space left on device')
    reads_back(disk / 'run', 1)
    with opened(disk / 'run') as checkpoints:  # takes away what filled the disk
        checkpoints.save(small(3), {'best_step': None})
        checkpoints.wait()
        reads_back(disk / 'run', 3)


def test_a_disk_that_became_read_only_stops_a_save_and_a_start(disk):
    with opened(disk / 'run') as checkpoints:
        checkpoints.save(small(1), {'best_step': None})
        checkpoints.wait()
        subprocess.run(['mount', '-o', 'remount,ro', str(disk)], check=True)
        refuses_and_keeps(checkpoints, disk / 'run', 'Read-only file system')
    reads_back(disk / 'run', 1)
    with pytest.raises(InputError, match='may not be written'):
        run_folder.check_writable(disk / 'run')
    with pytest.raises(storage.StorageError, match='config.json cannot be written .Read-only file system'):
        run_folder.write_json(disk / 'run' / 'config.json', {})


def test_a_full_disk_loses_no_line_of_the_log(disk):
    path = disk / 'metrics.jsonl'
    text = ''.join(json.dumps({'step': step, 'loss': 'x' * 990}) + '\n' for step in range(900))
    path.write_text(text)
    with pytest.raises(storage.StorageError, match='metrics.jsonl cannot be written .No space left'):
        (disk / 'filler').write_bytes(bytes(2**20))
        truncate(path, 800)
    assert path.read_text() == text and sorted(os.listdir(disk)) == ['filler', 'metrics.jsonl']
    (disk / 'filler').unlink()
    truncate(path, 800)
    assert len(path.read_text().splitlines()) == 801
    monitor = Monitor(disk, 800)
    with pytest.raises(storage.StorageError, match='cannot be written .No space left on device'):
        for step in range(801, 10_000):
            monitor.scalars(step, 'train', {'loss': 'x' * 990})
    with contextlib.suppress(storage.StorageError):
        monitor.close()
    kept = path.read_text().splitlines()
    assert [json.loads(line)['step'] for line in kept[:-1]] == list(range(len(kept) - 1))


def test_other_errors_are_not_called_a_failure_of_the_disk(tmp_path):
    with pytest.raises(ValueError, match='^bad shape: 3$'), storage.writing(tmp_path, tmp_path):
        raise ValueError('bad shape: 3')
    with pytest.raises(InputError) as same, storage.writing(tmp_path, tmp_path):
        raise InputError('once')
    assert str(same.value) == 'once'


def test_reports_to_closed_loops_are_left_out_and_nothing_else(tmp_path, monkeypatch):
    """TensorStore calls the loop from C++, so that its reports begin inside asyncio; ours begin here."""
    seen = []
    monkeypatch.setattr(sys, 'unraisablehook', seen.append)
    Checkpoints(tmp_path).close()
    report = lambda error, traceback: types.SimpleNamespace(exc_type=type(error), exc_value=error,
                                                            exc_traceback=traceback)
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError) as raised:
        loop.call_soon_threadsafe(print)
    error = raised.value
    sys.unraisablehook(report(error, error.__traceback__.tb_next))
    assert not seen
    sys.unraisablehook(report(error, error.__traceback__))
    sys.unraisablehook(report(error, None))
    sys.unraisablehook(report(ValueError('Event loop is closed'), error.__traceback__.tb_next))
    assert len(seen) == 3
    Checkpoints(tmp_path).close()
    sys.unraisablehook(report(error, None))
    assert len(seen) == 4, 'a second manager put another hook on top'


# ---------------------------------------------------------------- other devices

PROGRAM = '''
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from test_storage import digest, settings
from s4mim_jax.parallel import make_mesh
from s4mim_jax.runs.checkpoints import Checkpoints
config = settings()
checkpoints = Checkpoints(sys.argv[2])
state, loop = checkpoints.restore(config, 5, make_mesh(config))
import jax
assert jax.device_count() == 1 and loop['best_miou'] == 0.5
checkpoints.close()
again = Checkpoints(sys.argv[3])
again.save(state, loop)
again.close()
pathlib.Path(sys.argv[3], 'digest').write_text(digest(state))
'''


def settings(data=-1, fsdp=1):
    """EMA, BatchNorm, AdamW's two moments."""
    config = tiny.config('unimatch_v2')
    config.model.encoder, config.optimizer.name = 'resnet18', 'adamw'
    config.mesh.update(data=data, fsdp=fsdp)
    return config


def digest(state) -> str:
    """Path, dtype and bytes of every leaf, hashed."""
    import hashlib
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        array = np.asarray(leaf)
        total.update(f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'.encode())
        total.update(array.tobytes())
    return total.hexdigest()


def scrambled(config, mesh):
    """A state all of whose floats are random, so that none can be mistaken for a fresh one."""
    from s4mim_jax.training.state import abstract_state
    draw = np.random.default_rng(0)
    target = abstract_state(config, tiny.CLASSES)
    floats = lambda x: (draw.normal(size=x.shape).astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating)
                        else np.full(x.shape, 7, x.dtype))
    return jax.tree.map(lambda x, s: jax.device_put(floats(x), s), target, state_shardings(target, mesh))


@pytest.mark.slow
def test_a_checkpoint_moves_between_topologies(tmp_path):
    """8 devices -> data=4, fsdp=2 -> a process with one device -> data=4, fsdp=2 -> data=2, fsdp=4 -> 8 devices."""
    eight, grid, other = settings(), settings(4, 2), settings(2, 4)
    state = scrambled(eight, make_mesh(eight))
    assert {'params', 'batch_stats'} <= state.ema.keys() and jax.tree.leaves(state.batch_stats)
    expected = digest(state)
    loop = {'best_step': 7, 'best_miou': 0.5, 'sums': {'loss': [1.25, 3]}}

    def write(folder, state):
        with opened(folder) as checkpoints:
            checkpoints.save(state, loop)

    def read(folder, config):
        mesh = make_mesh(config)
        with opened(folder) as checkpoints:
            state, stored = checkpoints.restore(config, tiny.CLASSES, mesh)
        assert stored == loop
        placed = jax.tree.map(lambda x, s: x.sharding.is_equivalent_to(s, x.ndim), state, state_shardings(state, mesh))
        assert all(jax.tree.leaves(placed)) and digest(state) == expected
        cut = sum(not x.sharding.is_fully_replicated for x in jax.tree.leaves(state))
        assert bool(cut) == (config.mesh.fsdp > 1), 'fsdp cuts some arrays, and only fsdp does'
        return state

    write(tmp_path / 'eight', state)
    write(tmp_path / 'grid', read(tmp_path / 'eight', grid))
    here, root = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
    environment = {**os.environ, 'XLA_FLAGS': f'--xla_force_host_platform_device_count=1 {QUICK_COMPILES}',
                   'PYTHONPATH': f'{root}{os.pathsep}{root / "tests"}'}
    done = subprocess.run([sys.executable, '-c', PROGRAM, str(here), str(tmp_path / 'grid'), str(tmp_path / 'one')],
                          cwd=root, env=environment, capture_output=True, text=True, timeout=240,
                          check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'one' / 'digest').read_text() == expected
    write(tmp_path / 'other', read(tmp_path / 'one', grid))
    write(tmp_path / 'last', read(tmp_path / 'other', other))
    read(tmp_path / 'last', eight)
    variables, step, weights = restore_weights(tmp_path / 'last', eight, tiny.CLASSES, 'latest')
    assert (step, weights) == (7, 'teacher')
    assert digest(variables) == digest({k: state.ema[k] for k in ('params', 'batch_stats')})
