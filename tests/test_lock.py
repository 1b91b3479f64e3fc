"""One writer a run folder: who holds it is named, and the locks of the dead are taken over."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from s4mim_jax.config.errors import InputError
from s4mim_jax.runs import lock
from s4mim_jax.runs.lock import FILE, RunLock, refuse_if_held

HOLD = ('import sys, time\nfrom s4mim_jax.runs.lock import RunLock\n'
        'with RunLock(sys.argv[1], beat=0.1):\n    print("held", flush=True)\n    time.sleep(120)')


@pytest.fixture
def other(tmp_path):
    """A process that holds the lock of tmp_path."""
    process = subprocess.Popen([sys.executable, '-c', HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()
    process.wait()


def quick(folder):
    return RunLock(folder, beat=0.1, silence=1.0)


def test_the_second_names_the_first(tmp_path, other):
    for enter in (lambda: quick(tmp_path).__enter__(), lambda: refuse_if_held(tmp_path)):
        with pytest.raises(InputError, match=f'another training: process {other.pid} on .*, since 20') as caught:
            enter()
        assert caught.value.args[0].count('\n') <= 2
    assert json.loads((tmp_path / FILE).read_text())['pid'] == other.pid


def test_two_in_one_process(tmp_path):
    with quick(tmp_path), pytest.raises(InputError, match=f'process {os.getpid()} '):
        quick(tmp_path).__enter__()
    assert not (tmp_path / FILE).exists()
    with quick(tmp_path):  # free again
        pass


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, other, capsys):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / FILE).exists()
    refuse_if_held(tmp_path)
    began = time.monotonic()
    with quick(tmp_path):
        assert json.loads((tmp_path / FILE).read_text())['pid'] == os.getpid()
    assert time.monotonic() - began < 1.0, 'the kernel knows; nobody waits'
    assert f'was that of process {other.pid}' in capsys.readouterr().out


def elsewhere(folder, **changes):
    """The lock file of a process on another machine."""
    content = {'host': 'node7', 'boot': 'b', 'pid': 1, 'token': 't', 'since': '2026-11-26 10:00:00', 'beat': 4}
    (folder / FILE).write_text(json.dumps(content | changes))


def test_another_machine_that_is_silent_has_ended(tmp_path, capsys):
    elsewhere(tmp_path)
    with quick(tmp_path):
        assert json.loads((tmp_path / FILE).read_text())['host'] != 'node7'
    assert 'process 1 on node7, since 2026-11-26 10:00:00 may still write here' in capsys.readouterr().err


def test_another_machine_that_beats_keeps_the_folder(tmp_path, monkeypatch):
    elsewhere(tmp_path)
    beats = iter(range(5, 100))
    sleep = time.sleep

    def work_meanwhile(seconds):
        elsewhere(tmp_path, beat=next(beats))
        sleep(seconds)

    monkeypatch.setattr(lock.time, 'sleep', work_meanwhile)
    with pytest.raises(InputError, match='process 1 on node7'):
        quick(tmp_path).__enter__()


def test_without_locks_of_the_file_system_the_heart_is_asked(tmp_path, monkeypatch):
    """NFS without lockd, some cluster file systems, Windows."""
    monkeypatch.setattr(lock, '_flock', lambda file: None)
    with quick(tmp_path):
        time.sleep(0.3)
        with pytest.raises(InputError, match=f'process {os.getpid()} '):
            quick(tmp_path).__enter__()
    gone = subprocess.Popen(['true'])
    gone.wait()
    with quick(tmp_path) as holder:
        mine = dict(holder._owner)
    (tmp_path / FILE).write_text(json.dumps(mine | {'pid': gone.pid, 'token': 'x'}))
    with quick(tmp_path):
        pass


def test_the_heart_beats_and_a_broken_file_is_no_lock(tmp_path):
    (tmp_path / FILE).write_text('{"half')
    with quick(tmp_path):
        first = json.loads((tmp_path / FILE).read_text())['beat']
        time.sleep(0.5)
        assert json.loads((tmp_path / FILE).read_text())['beat'] > first


def test_a_store_without_locks(tmp_path, monkeypatch):
    """The path of gs://: the file alone, written whole."""
    monkeypatch.setattr(lock.storage, 'is_remote', lambda path: True)
    monkeypatch.setattr(lock.storage, 'absolute', lambda path: path)
    with quick(tmp_path), pytest.raises(InputError, match='another training'):
        quick(tmp_path).__enter__()
    assert not (tmp_path / FILE).exists()
    elsewhere(tmp_path)
    with quick(tmp_path):
        pass


def test_hold_gives_up_with_its_stack(tmp_path):
    with contextlib.ExitStack() as held:
        lock.hold(tmp_path, held)
        assert (tmp_path / FILE).exists()
        with pytest.raises(InputError), contextlib.ExitStack() as second:
            lock.hold(tmp_path, second)
    assert not (tmp_path / FILE).exists()
