"""Run folders with odd names, and checkpoints copied in part: each says what it lacks, none prints a traceback."""

import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny_run

import s4mim_jax
from s4mim_jax.config.errors import InputError
from s4mim_jax.runs import checkpoints, storage
from s4mim_jax.runs.checkpoints import Checkpoints


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return tiny_run.shared(tmp_path_factory)


@pytest.fixture
def copied(run, tmp_path):
    shutil.copytree(run[0], tmp_path / 'run')
    return tmp_path / 'run'


@pytest.mark.parametrize('name', ['[2024] runs/first', 'what? * is this', 'grün {1} ~x'])
def test_a_path_is_a_path(run, tmp_path, name):
    """Saved, read back as training does after its first save, and read as evaluation does."""
    _, config, state = run
    folder = tmp_path / name
    folder.mkdir(parents=True)
    writer = Checkpoints(folder)
    writer.save(state, {'best_step': None})
    writer.read_back(state)
    writer.close()
    found, step, _ = checkpoints.restore_weights(folder, config, len(tiny_run.CLASSES), 'latest', 'student')
    assert step == 3
    expected = state.variables('student')['params']
    jax.tree.map(np.testing.assert_array_equal, found['params'], jax.tree.map(np.asarray, dict(expected)))


def test_what_cannot_be_read_back_ends_the_run(run, tmp_path, monkeypatch):
    """As on a file system that loses what it was given: here epath's own paths, which take brackets for a pattern."""
    from etils import epath
    monkeypatch.setattr(storage, 'LiteralPath', epath.Path)
    folder = tmp_path / '[1]'
    folder.mkdir()
    writer = Checkpoints(folder)
    writer.save(run[2], {'best_step': None})
    with pytest.raises(storage.StorageError, match=r'\[1\]/checkpoints/3 was written and cannot be read back: '
                                                   r'.*it lacks weights/manifest.ocdbt'):
        writer.read_back(run[2])
    writer.close()


@pytest.mark.parametrize('part, says', [
    ('weights', 'lacks weights/$'), ('loop', 'lacks loop/$'), ('loop/metadata', 'lacks loop/metadata'),
    ('weights/_METADATA', 'lacks weights/_METADATA'), ('weights/manifest.ocdbt', 'lacks weights/manifest.ocdbt'),
    ('weights/d', r'lacks weights/d/\*'), ('weights/ocdbt.process_0', r'lacks weights/ocdbt.process_\*'),
    ('weights/ocdbt.process_0/d', r'lacks weights/ocdbt.process_0/d/\*')])
def test_what_is_missing_is_named(copied, part, says):
    path = copied / 'checkpoints/3' / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=f'(?m)checkpoints/3 is not whole: it {says}') as caught:
        s4mim_jax.load(copied)
    assert 'rsync -a' in str(caught.value) and len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize('pattern', ['weights/d/*', 'weights/ocdbt.process_0/d/*', 'weights/manifest.ocdbt',
                                     'weights/_METADATA', 'loop/metadata'])
def test_what_is_cut_off_is_named(copied, pattern):
    for path in (copied / 'checkpoints/3').glob(pattern):
        os.truncate(path, path.stat().st_size // 3)
    with pytest.raises(InputError, match='checkpoints/3 cannot be read: .*\nif it was copied'):
        s4mim_jax.load(copied)


def test_without_the_optimizer_weights_can_be_used_and_training_says_why_not(copied, run):
    shutil.rmtree(copied / 'checkpoints/3/optimizer')
    assert s4mim_jax.load(copied).step == 3
    with pytest.raises(InputError, match='it lacks optimizer/'):
        Checkpoints(copied).restore(run[1], len(tiny_run.CLASSES), None)


def test_the_best_checkpoint_is_not_replaced_by_another_in_silence(copied):
    os.rename(copied / 'checkpoints/3', copied / 'checkpoints/9')
    with pytest.raises(InputError, match='its best checkpoint, step 3, is not in checkpoints/\n.*=9, latest'):
        s4mim_jax.load(copied)
    os.rename(copied / 'checkpoints/9', copied / 'checkpoints/3.orbax-checkpoint-tmp')
    with pytest.raises(InputError, match='no finished checkpoint; checkpoints/ holds 3.orbax-checkpoint-tmp'):
        s4mim_jax.load(copied)


def test_home_is_home(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert os.fspath(storage.absolute('~/runs/a')) == f'{tmp_path}/runs/a'
    assert Path(storage.locate('~/runs/[1]')) == tmp_path / 'runs/[1]'
    assert os.fspath(storage.absolute('gs://~/a')) == 'gs://~/a'
