"""The Dockerfile by its linter, and its steps in a folder, with a stand-in for Python: what is copied is enough."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from launch_world import ROOT, World

LINTER = shutil.which('hadolint', path=f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}')
STEPS = [line.split(' ', 1) for line in (ROOT / 'Dockerfile').read_text().splitlines() if line and line[0] != '#']


@pytest.mark.skipif(not LINTER, reason='no hadolint')
def test_the_linter_finds_nothing():
    done = subprocess.run([LINTER, 'Dockerfile'], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def copied(sources, target, image):
    for source in sources:
        for path in ROOT.glob(source) if '*' in source else [ROOT / source]:
            assert path.exists(), source
            goal = image / target / path.name if target.endswith('/') else image / target
            goal.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if path.is_dir() else shutil.copy)(path, goal)


@pytest.mark.parametrize('kind', ['cpu', 'cuda', 'tpu'])
def test_its_steps_end_in_the_set_up_script(kind, tmp_path):
    world, image = World(tmp_path / 'world'), tmp_path / 'image'
    image.mkdir()
    ran = []
    for step, words in STEPS:
        if step == 'COPY' and words != '. .':  # what comes first must be enough to install by
            *sources, target = words.split()
            copied(sources, target, image)
        elif step == 'RUN':
            environment = world.environment | {'KIND': kind, 'PYTHON': world.python, 'HOME': str(tmp_path)}
            done = subprocess.run(['bash', '-ec', words], cwd=image, env=environment, capture_output=True, text=True,
                                  check=False, timeout=60)
            assert done.returncode == 0, done.stdout + done.stderr
            ran.append(shlex.split(words))
    assert ran[-1] == ['launch/setup.sh', '$KIND'] and 'is ready' in done.stdout  # nothing is installed twice
    assert (image / '.venv' / '.installed').read_text().startswith(kind)


def test_what_an_image_does_not_need_stays_outside():
    ignored = (ROOT / '.dockerignore').read_text().split()
    assert {'.git', '.venv*', '.matrix', 'data', 'runs'} <= set(ignored)
