"""Saves that are cut off: SIGKILL at any moment, a disk that fills up, a folder that becomes read-only.

Each time the same command goes on from the last finished checkpoint and ends where an uninterrupted run ends:
every bit of the last checkpoint, every line of metrics.jsonl.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from forked_runs import Starter, until
from test_train import TINY, lines, make_dataset, parameters

from s4mim_jax.runs.storage import StorageError, finished_steps

STEPS, KILLS = 40, 20
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    """(starter, arguments of a run in a workdir, (last step, parameters, lines) of an uninterrupted run)."""
    root = tmp_path_factory.mktemp('interrupted')
    dataset = make_dataset(root / 'dataset')

    def arguments(workdir):
        return ['--config=configs/shapes.py:fixmatch_ema', f'--workdir={workdir}', f'--config.data.dir={dataset}',
                f'--config.total_steps={STEPS}', '--config.eval.every=5', '--config.checkpoint.every=1', *TINY,
                '--config.log.images=0']

    with Starter(root / 'cache', tiny=False) as starter:  # saves that take a while and are larger than a limit
        starter.start(arguments(root / 'whole'), root / 'whole.log')
        assert starter.wait() == 0, (root / 'whole.log').read_text()
        yield starter, arguments, (*parameters(root / 'whole'), lines(root / 'whole'))


@pytest.fixture(autouse=True)
def ended(world):
    """Nothing that a failed test started goes on."""
    yield
    if world[0].running:
        world[0].kill()
        world[0].wait()


def same(workdir, expected):
    step, arrays = parameters(workdir)
    return (step, arrays, lines(workdir)) == expected


def finish(starter, arguments, workdir, log):
    starter.start(arguments(workdir), log)
    assert starter.wait() == 0, log.read_text()


def unfinished(workdir):
    folder = workdir / 'checkpoints'
    return {name for name in os.listdir(folder) if 'tmp' in name} if folder.is_dir() else set()


def test_sigkill_at_twenty_moments_loses_nothing(world, tmp_path):
    starter, arguments, expected = world
    workdir, draw = tmp_path / 'run', np.random.default_rng(0)
    cut_off = kills = starts = 0
    while kills < KILLS:
        starts += 1
        log = tmp_path / f'{starts}.log'
        before = finished_steps(workdir)
        left = unfinished(workdir)  # the run will remove what the last one left and save under the same names
        starter.start(arguments(workdir), log)
        done = lambda: f'done: {STEPS} steps' in log.read_text()
        if kills % 8 == 3:  # while it starts
            time.sleep(draw.uniform(0, 5))
        elif kills % 8 == 7:  # anywhere in the loop
            until(lambda: 'compiled in' in log.read_text(), log)
            time.sleep(draw.uniform(0, 0.6))
        else:  # a save begins; then at once, or somewhere in it, or shortly after it
            if left:
                until(lambda: not unfinished(workdir) & left or done(), log)
            until(lambda: unfinished(workdir) or done(), log)
            time.sleep(draw.uniform(0, (0, 0.03, 0.3)[kills % 4]))
        starter.kill()
        status = starter.wait()
        if status == 0:  # it was faster
            assert same(workdir, expected)
            shutil.rmtree(workdir)
            continue
        assert status == -signal.SIGKILL, log.read_text()
        cut_off += kills % 4 != 3 and bool(unfinished(workdir))
        kills += 1
        assert not before or finished_steps(workdir)[-1] >= before[-1]
    assert cut_off >= 5, 'too few of the kills hit a save'
    finish(starter, arguments, workdir, tmp_path / 'last.log')
    assert same(workdir, expected) and not unfinished(workdir)


def says_how_to_go_on(log, workdir, why):
    message = log.read_text().partition('error: ')[2].strip()
    assert why in message and f'keeps step {finished_steps(workdir)[-1]}\n' in message and 'goes on' in message
    assert len(message.splitlines()) == 3 and 'Traceback' not in log.read_text(), log.read_text()


@contextlib.contextmanager
def mounted(folder, *options):
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(['mount', *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f'no file system may be mounted here: {done.stderr.strip()}')
    try:
        yield folder
    finally:
        subprocess.run(['umount', '-l', str(folder)], check=True)


def fill(path):
    """Takes what is free on a file system, to the last byte."""
    with path.open('wb', buffering=0) as file, contextlib.suppress(OSError):
        for size in (2**16, 2**12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


def test_a_disk_that_fills_up_stops_the_run(world, tmp_path):
    starter, arguments, expected = world
    log = tmp_path / 'full.log'
    with mounted(tmp_path / 'disk', '-t', 'tmpfs', '-o', 'size=24m', 'tmpfs') as disk:
        starter.start(arguments(disk / 'run'), log)
        until(lambda: len(finished_steps(disk / 'run')) > 1, log)
        fill(disk / 'filler')
        assert starter.wait() == StorageError.status
        says_how_to_go_on(log, disk / 'run', 'No space left on device')
        (disk / 'filler').unlink()
        finish(starter, arguments, disk / 'run', tmp_path / 'again.log')
        assert same(disk / 'run', expected)


def test_a_folder_that_becomes_read_only_stops_the_run(world, tmp_path):
    starter, arguments, expected = world
    workdir, log = tmp_path / 'run', tmp_path / 'read_only.log'
    starter.start(arguments(workdir), log)
    until(lambda: len(finished_steps(workdir)) > 1, log)
    folder, view = workdir / 'checkpoints', tmp_path / 'view'
    with mounted(view, '--bind', str(folder)):
        # Made read-only beside the folder and then laid over it: what a save is writing into cannot be.
        subprocess.run(['mount', '-o', 'remount,bind,ro', str(view)], check=True)
        with mounted(folder, '--bind', str(view)):
            assert starter.wait() == StorageError.status
            says_how_to_go_on(log, workdir, 'Read-only file system')
    finish(starter, arguments, workdir, tmp_path / 'again.log')
    assert same(workdir, expected)


def test_a_save_that_hits_a_limit_stops_the_run(world, tmp_path):
    """What a full quota does, without rights to mount: files may have 30 kB, of which the arrays need more."""
    starter, arguments, expected = world
    workdir, log = tmp_path / 'run', tmp_path / 'limit.log'
    starter.start(arguments(workdir), tmp_path / 'first.log')
    until(lambda: len(finished_steps(workdir)) > 1, tmp_path / 'first.log')
    starter.kill()
    assert starter.wait() == -signal.SIGKILL
    kept = finished_steps(workdir)[-1]
    starter.start(arguments(workdir), log, largest_file=30_000)
    assert starter.wait() == StorageError.status
    says_how_to_go_on(log, workdir, 'File too large')
    assert finished_steps(workdir)[-1] == kept
    finish(starter, arguments, workdir, tmp_path / 'again.log')
    assert same(workdir, expected)


def test_an_address_that_nothing_serves_ends_the_command(world, tmp_path):
    starter, arguments, _ = world
    starter.start(arguments('s3://bucket/run'), tmp_path / 'log')
    assert starter.wait() == 2
    text = (tmp_path / 'log').read_text()
    assert 'error: --workdir=s3://bucket/run: no answer' in text and 'Traceback' not in text
