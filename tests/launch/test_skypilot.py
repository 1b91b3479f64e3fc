"""The files for SkyPilot: valid by its schema, and what they would run."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).resolve().parents[2] / 'launch'
FILES = {'gpu': LAUNCH / 'skypilot_gpu.yaml', 'tpu': LAUNCH / 'skypilot_tpu.yaml'}


def task(kind: str) -> dict:
    return yaml.safe_load(FILES[kind].read_text())


@pytest.mark.parametrize('kind', FILES)
def test_the_schema_of_skypilot_takes_it(kind):
    schemas = pytest.importorskip('sky.utils.schemas')
    jsonschema = pytest.importorskip('jsonschema')
    jsonschema.validate(task(kind), schemas.get_task_schema())
    jsonschema.validate(task(kind)['resources'], schemas.get_resources_schema())


@pytest.mark.parametrize('kind, setup', [('gpu', 'launch/setup.sh cuda'), ('tpu', 'launch/setup.sh tpu')])
def test_it_ends_in_the_set_up_script(kind, setup):
    assert task(kind)['setup'].strip() == setup


def recorded(kind: str, folder: Path, **variables) -> subprocess.CompletedProcess:
    """Runs the task's command where the interpreter and the copying programs print their arguments."""
    for name in ('.venv/bin/python', 'bin/gcloud', 'bin/aws'):
        program = folder / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\necho {program.name} "$@"\n')
        program.chmod(0o755)
    cluster = {'SKYPILOT_NODE_IPS': '10.0.0.1\n10.0.0.2', 'SKYPILOT_NUM_NODES': '1', 'SKYPILOT_NODE_RANK': '0'}
    environment = task(kind)['envs'] | cluster | variables | {'PATH': f'{folder}/bin:{os.environ["PATH"]}'}
    return subprocess.run(['bash', '-c', task(kind)['run']], cwd=folder, env=environment, capture_output=True,
                          text=True)


CONFIG = '--config=configs/shapes.py:fixmatch'


def test_one_node(tmp_path):
    done = recorded('gpu', tmp_path, ARGUMENTS='--config.seed=1 --config.total_steps=5')
    assert done.stdout == ('python -m s4mim_jax.train --config=configs/shapes.py:fixmatch --workdir=runs/skypilot '
                           '--config.seed=1 --config.total_steps=5\n'), done.stderr


def test_two_nodes_and_data_of_a_bucket(tmp_path):
    done = recorded('gpu', tmp_path, SKYPILOT_NUM_NODES='2', SKYPILOT_NODE_RANK='1', DATA='s3://b/voc', RUN='gs://b/r')
    copied, trained = done.stdout.splitlines()
    assert copied == 'aws s3 sync s3://b/voc data/sky' and (tmp_path / 'data/sky').is_dir()
    assert trained.split()[3:] == [CONFIG, '--workdir=gs://b/r', '--coordinator=10.0.0.1:12355', '--num_processes=2',
                                   '--process_id=1', '--config.data.dir=data/sky']


def test_hosts_of_a_slice_find_each_other_by_themselves(tmp_path):
    done = recorded('tpu', tmp_path, RUN='gs://b/r', DATA='gs://b/voc')
    copied, trained = done.stdout.splitlines()
    assert copied == 'gcloud storage rsync --recursive gs://b/voc data/sky'
    assert trained.split()[3:] == [CONFIG, '--workdir=gs://b/r', '--config.data.dir=data/sky']


def test_other_addresses_are_refused(tmp_path):
    done = recorded('gpu', tmp_path, DATA='/mnt/voc')
    assert done.returncode == 2 and 'DATA=/mnt/voc: valid are gs://' in done.stderr and not done.stdout
