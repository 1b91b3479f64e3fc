"""Ctrl-C is heard at once, also while the main thread is away in a step."""

import subprocess
import sys
import time

import pytest

# Blocked in the main thread, signals reach the listener's: the call lasts, as one that waits for the device does.
AWAY = ('import ctypes, signal\nfrom s4mim_jax.runs import signals\nsignals.GRACE = 0.5\n'
        'with signals.StopRequest() as stop:\n'
        '    signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGINT}})\n'
        '    print("begun", flush=True)\n'
        '    ctypes.CDLL(None).poll(None, 0, {milliseconds})\n'
        '    print("signal", stop.signal, flush=True)\n')


def start(seconds):
    process = subprocess.Popen([sys.executable, '-c', AWAY.format(milliseconds=int(seconds * 1000))],
                               stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'begun\n'
    return process


def test_the_first_is_told_at_once_and_obeyed_afterwards():
    process = start(3)
    began = time.monotonic()
    process.send_signal(2)
    assert process.stdout.readline().startswith('stopping after this step')
    assert time.monotonic() - began < 2.5
    assert process.stdout.read() == 'signal 2\n' and process.wait() == 0


def test_a_second_ends_a_process_that_does_not_come_back():
    process = start(60)
    began = time.monotonic()
    process.send_signal(2)
    assert process.stdout.readline().startswith('stopping')
    process.send_signal(2)
    assert process.wait(30) == 130 and time.monotonic() - began < 30


@pytest.mark.parametrize('number', [15, 2])
def test_handlers_are_given_back(number):
    import signal

    from s4mim_jax.runs.signals import StopRequest
    before, fd = signal.getsignal(number), signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    with StopRequest() as stop:
        assert signal.getsignal(number) != before
    assert signal.getsignal(number) == before and stop.signal is None
    again = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(again)
    assert again == fd
