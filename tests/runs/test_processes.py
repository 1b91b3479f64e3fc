"""Real processes over loopback: the numbers of one, an end in bounded time when one dies, a stop of all at one step."""

import signal
import time

import pytest
import tiny_run
from process_world import Run, assert_metrics_close, metrics

from s4mim_jax.runs.storage import finished_steps

METHOD = 'fixmatch_ema,split=seeded:1/2'
# What is compared is the arithmetic: no pixel sits at the threshold, and small steps do not amplify rounding.
SETTINGS = ('total_steps=6', 'eval.every=3', 'checkpoint.every=3', 'log.every=2', 'method.tau=0.0',
            'optimizer.learning_rate=0.001')
LONG = ('total_steps=100000', 'eval.every=0', 'checkpoint.every=0', 'log.every=1')
QUICK = ('--join_timeout=120', '--heartbeat_timeout=10')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('processes')
    tiny_run.dataset(root / 'data')
    return root


@pytest.fixture(scope='module')
def alone(root):
    with Run(root / 'alone', root / 'data', METHOD, SETTINGS) as run:
        assert run.wait() == [0], run.text()
    return root / 'alone'


@pytest.mark.slow
def test_two_processes_train_as_one(root, alone):
    with Run(root / 'two', root / 'data', METHOD, SETTINGS, count=2, devices=2, flags=QUICK) as run:
        assert run.wait() == [0, 0], run.text(0) + run.text(1)
        assert 'step 6' in run.text(0) and 'step 6' not in run.text(1)  # process 0 speaks
    assert 'Gloo' not in run.text(0) + run.text(1)
    assert_metrics_close(alone, root / 'two')
    # Parameters: the checkpoint of two processes is read by one, which has nothing left to do.
    with Run(root / 'two', root / 'data', METHOD, SETTINGS) as run:
        assert run.wait() == [0] and 'nothing to do' in run.text()
    compare_parameters(alone, root / 'two')


def compare_parameters(one, other):
    import jax
    import numpy as np

    from s4mim_jax.runs import checkpoints, run_folder
    for weights in ('student', 'teacher'):
        a, b = (checkpoints.restore_weights(folder, run_folder.read_config(folder), tiny_run.tiny.CLASSES, 'latest',
                                            weights)[0] for folder in (one, other))
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5), a, b)


@pytest.mark.slow
def test_sigterm_to_one_stops_all_at_one_step_and_another_topology_goes_on(root, alone):
    workdir = root / 'stopped'
    with Run(workdir, root / 'data', METHOD, LONG, count=2, devices=2, flags=QUICK) as run:
        wait_for(run, 'step 3/')
        run.processes[1].send_signal(signal.SIGTERM)
        assert run.wait(120) == [128 + signal.SIGTERM] * 2, run.text(0) + run.text(1)
        assert 'stopped by signal 15' in run.text(0)
    step = finished_steps(workdir)[-1]
    assert metrics(workdir)[-1]['step'] == step
    with Run(workdir, root / 'data', METHOD, (f'total_steps={step + 2}', *LONG[1:])) as run:
        assert run.wait() == [0] and f'going on from step {step}' in run.text(), run.text()


@pytest.mark.slow
def test_a_process_that_dies_ends_the_other_by_name(root, alone):
    with Run(root / 'dies', root / 'data', METHOD, LONG, count=2, devices=2, flags=QUICK) as run:
        wait_for(run, 'step 3/')
        run.processes[1].kill()
        started = time.monotonic()
        run.processes[0].wait(120)
        assert run.processes[0].returncode not in (0, None)
        assert time.monotonic() - started < 100
    text = run.text(0)
    assert 'lost contact with another process' in text
    assert 'unhealthy' in text.partition('lost contact')[2] and '\n1\n' in text  # the runtime names process 1


def test_a_process_that_never_comes_is_named(root):
    flags = ('--join_timeout=8',)
    with Run(root / 'waits', root / 'data', METHOD, SETTINGS, count=3, only=(0, 2), flags=flags) as run:
        assert run.wait(120) == [1, 1], run.text(0) + run.text(1)
    assert 'missing 1 of 3' in run.text(0) and 'missing 1 of 3' in run.text(1)


def wait_for(run, text, seconds=400):
    end = time.monotonic() + seconds
    while text not in run.text():
        assert time.monotonic() < end and all(p.poll() is None for p in run.processes), run.text()
        time.sleep(0.1)
