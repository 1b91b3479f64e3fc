"""`log.writers`: what is asked for is checked, the real services record, a failing one does not end the run."""

import json

import numpy as np
import pytest

from s4mim_jax.config.errors import InputError
from s4mim_jax.runs import writers
from s4mim_jax.runs.monitoring import Monitor

PICTURE = np.full((8, 9, 3), 7, np.uint8)


@pytest.mark.parametrize('text, message', [
    ('tensorboard,comet', "'comet' is unknown\nvalid: tensorboard, wandb, mlflow"),
    ('tensorboard,tensorboard', "'tensorboard' is named twice")])
def test_unknown_writers_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        writers.names(text)


def test_a_writer_that_is_not_installed_says_what_installs_it(monkeypatch):
    monkeypatch.setitem(writers.OTHERS, 'wandb', ('no_such_module_here', 'pip install wandb'))
    with pytest.raises(InputError, match='wandb is not installed here\ninstall it by: pip install wandb'):
        writers.names('wandb')


def test_names_in_order_and_none():
    assert writers.names('') == () and writers.names(' tensorboard ') == ('tensorboard',)


class Failing:
    def __init__(self, workdir, config):
        self.calls = 0

    def write_scalars(self, step, scalars):
        self.calls += 1
        raise ConnectionError('the service is gone\nlong story')


def test_a_service_that_fails_is_left_out_and_the_run_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(writers.KINDS, 'wandb', Failing)
    monitor = Monitor(tmp_path, 0, ('wandb',))
    monitor.scalars(1, 'train', {'loss': 1.0})
    monitor.scalars(2, 'train', {'loss': 0.5})
    monitor.close()
    told = capsys.readouterr().err
    assert told.count('warning: log.writers: wandb failed and is left out') == 1 and 'long story' not in told
    assert [json.loads(line)['loss'] for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()] == [1.0, 0.5]


def test_a_service_that_cannot_begin_is_a_bad_input(tmp_path, monkeypatch):
    def refuse(workdir, config):
        raise RuntimeError('no key')
    monkeypatch.setitem(writers.KINDS, 'wandb', refuse)
    with pytest.raises(InputError, match='wandb cannot begin .RuntimeError: no key.\nWANDB_MODE=offline'):
        Monitor(tmp_path, 0, ('wandb',))


def test_no_other_writer_leaves_the_run_folder_alone(tmp_path):
    monitor = Monitor(tmp_path, 0, ())
    monitor.scalars(1, 'train', {'loss': 1.0})
    monitor.close()
    assert [path.name for path in tmp_path.iterdir()] == ['metrics.jsonl']


def test_mlflow_records_and_goes_on(tmp_path, monkeypatch):
    tracking = pytest.importorskip('mlflow.tracking')
    monkeypatch.setenv('MLFLOW_TRACKING_URI', f'sqlite:///{tmp_path}/mlflow.db')
    monkeypatch.setenv('MLFLOW_ALLOW_FILE_STORE', 'true')
    try:
        client = tracking.MlflowClient()
        client.search_experiments()
    except Exception:  # the skinny package has no database
        monkeypatch.setenv('MLFLOW_TRACKING_URI', (tmp_path / 'mlruns').as_uri())
        client = tracking.MlflowClient()
    (tmp_path / 'run').mkdir()
    for step in (1, 2):  # the second is a resume
        monitor = Monitor(tmp_path / 'run', step - 1, ('mlflow',), {'seed': 3, 'method': {'tau': 0.9}})
        monitor.scalars(step, 'train', {'loss': 1.0 / step})
        monitor.panel(step, 'seen', PICTURE)
        monitor.close()
    run, = client.search_runs([client.get_experiment_by_name('s4mim_jax').experiment_id])
    assert run.data.params['method.tau'] == '0.9' and run.info.status == 'FINISHED'
    assert [m.value for m in client.get_metric_history(run.info.run_id, 'train/loss')] == [1.0, 0.5]


def test_wandb_records_offline(tmp_path, monkeypatch):
    pytest.importorskip('wandb')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monitor = Monitor(tmp_path, 0, ('wandb',), {'seed': 3})
    monitor.scalars(1, 'train', {'loss': 1.0})
    monitor.panel(1, 'seen', PICTURE)
    monitor.close()
    name = writers.identity(tmp_path)
    assert list((tmp_path / 'wandb').glob(f'offline-run-*-{name}/run-{name}.wandb'))
