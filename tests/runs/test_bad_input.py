"""Bad input to `train`: status 2, a short message that names what is wrong, nothing written."""

import os
import shutil
import sys

import numpy as np
import pytest
import tiny_network
from absl.testing import flagsaver
from PIL import Image
from test_train import ROOT, TINY, make_dataset

from s4mim_jax import train
from s4mim_jax.config import command_line


@pytest.fixture(scope='module')
def good(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp('good'))


@pytest.fixture
def dataset(good, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(good, tmp_path / 'data', ignore=shutil.ignore_patterns('.s4mim_cache'))


def refuse(monkeypatch, capsys, dataset, workdir, *extra, method='fixmatch', config=None):
    """Runs the command in this process; returns its message after checking status and form."""
    config = config or f'{ROOT}/configs/shapes.py:{method}'
    monkeypatch.setattr(sys, 'argv', ['train', f'--config={config}', f'--workdir={workdir}',
                                      f'--config.data.dir={dataset}', *TINY, '--config.batch.labeled=8',
                                      '--config.batch.unlabeled=8', *extra])
    with flagsaver.flagsaver(), pytest.raises(SystemExit) as exit_:
        command_line.run(train.main)
    message = capsys.readouterr().err
    assert exit_.value.code == 2, message
    lines = message.strip().splitlines()
    assert lines[0].startswith('error: ') and len(lines) <= 4 and 'Traceback' not in message, message
    return message


@pytest.mark.parametrize('extra, words', [
    (['--config.model.encoder=resnet19'], ['model.encoder', 'resnet19', 'resnet18', 'mobilenet_v2']),
    (['--config.data.name=imagenet'], ['data.name', 'imagenet', 'folder', 'voc']),
    (['--config.optimizer.lr=1'], ['optimizer.lr', 'learning_rate']),
    (['--config.total_stepz=1'], ['total_stepz', "'total_steps'"]),
    (['--config.total_steps=many'], ['total_steps', 'many', 'integer']),
    (['--config.data.crop=(0, 32)'], ['data.crop', '(0, 32)', 'positive']),
    (['--config.data.crop=(-4, 32)'], ['data.crop', '-4', 'positive']),
    (['--config.data.crop=(200000, 200000)'], ['data.crop', 'GiB']),
    (['--config.batch.labeled=6'], ['batch.labeled=6', '8 device', 'multiple of 8']),
    (['--config.mesh.data=3'], ['mesh', 'data=3', '8 devices']),
    (['--config.method.teacher.kind=ghost'], ['method.teacher.kind', 'ghost', 'self', 'ema']),
    (['--config.method.tau=1.5'], ['method.tau', '1.5']),
    (['--config.optimizer.name=lion'], ['optimizer.name', 'lion', 'sgd']),
    (['--config.model.output_stride=5'], ['output_stride', '5', '16']),
    (['--config.data.split=third'], ['third', 'half']),
    (['--config.method.supervised=0', '--config.method.consistency=0'], ['weight 0']),
    (['--num_processes=2'], ['--coordinator', '--process_id']),
    (['--no_such_flag=2'], ['no_such_flag']),
    (['stray'], ['stray']),
    (['--config.method.name=unimatch'], ['method.name', 'after the colon']),
    (['--config.model.freeze_norm=true'], ['freeze_norm', 'model.pretrained']),
    (["--config.data.scale=('a', 2)"], ['data.scale', 'low', 'high']),
    (['--config.seed=4294967296'], ['seed', '2**32']),
])
def test_usage_and_config(monkeypatch, capsys, good, tmp_path, extra, words):
    message = refuse(monkeypatch, capsys, good, tmp_path / 'run', *extra)
    assert all(word in message for word in words), message
    assert not (tmp_path / 'run').exists()


def test_unknown_method_and_missing_config(monkeypatch, capsys, good, tmp_path):
    message = refuse(monkeypatch, capsys, good, tmp_path / 'run', method='fixmatsch')
    assert 'fixmatsch' in message and 'unimatch' in message
    message = refuse(monkeypatch, capsys, good, tmp_path / 'run', config=f'{ROOT}/configs/nowhere.py')
    assert 'nowhere.py' in message and 'camvid.py' in message


def test_a_config_file_that_fails(monkeypatch, capsys, good, tmp_path):
    head = 'from s4mim_jax.config import base, compose\ndef get_config(argument=None):\n    config = base()\n'
    for line, words in (('config.optimizer.lr = 1', 'lr'), ('config.total_steps = "many"', 'TypeError'),
                        ('return 1 / 0', 'ZeroDivisionError')):
        (tmp_path / 'mine.py').write_text(f'{head}    {line}\n')
        message = refuse(monkeypatch, capsys, good, tmp_path / 'run', config=f'{tmp_path}/mine.py:fixmatch')
        assert 'mine.py' in message and words in message


def test_missing_folder(monkeypatch, capsys, tmp_path):
    message = refuse(monkeypatch, capsys, tmp_path / 'absent', tmp_path / 'run')
    assert str(tmp_path / 'absent') in message


def empty_split(folder):
    (folder / 'splits' / 'half_labeled.txt').write_text('\n')
    return ['half_labeled.txt']


def id_without_image(folder):
    (folder / 'splits' / 'half_unlabeled.txt').write_text('train3\nghost7')
    return ['half_unlabeled.txt', 'ghost7']


def labeled_and_unlabeled(folder):
    (folder / 'splits' / 'half_unlabeled.txt').write_text('train3\ntrain0')
    return ['train0', 'half_unlabeled.txt', 'half_labeled.txt']


def other_size(folder):
    Image.fromarray(np.zeros((7, 9), np.uint8)).save(folder / 'masks' / 'train' / 'train1.png')
    return ['train1.png', '7', '9']


def value_outside(folder):
    Image.fromarray(np.full((40, 40), 17, np.uint8)).save(folder / 'masks' / 'train' / 'train1.png')
    return ['train1.png', '17', '0']


def only_0_and_255(folder):
    draw = np.random.default_rng(0)
    for path in (folder / 'masks').rglob('*.png'):
        Image.fromarray((draw.random((40, 40)) < 0.5).astype(np.uint8) * 255).save(path)
    return ['255', '--config.data.label_map=0:0,255:1']


def rgb_mask(folder):
    Image.fromarray(np.full((40, 40, 3), (200, 3, 9), np.uint8)).save(folder / 'masks' / 'train' / 'train1.png')
    return ['train1.png', 'colour image', 'classes.txt']


def truncated_jpeg(folder):
    (folder / 'images' / 'train' / 'train4.png').unlink()
    whole = folder / 'images' / 'train' / 'train4.jpg'
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(whole)
    whole.write_bytes(whole.read_bytes()[:-200])
    return ['train4.jpg']


@pytest.mark.parametrize('spoil', [empty_split, id_without_image, labeled_and_unlabeled, other_size, value_outside,
                                   only_0_and_255, rgb_mask, truncated_jpeg])
def test_data(monkeypatch, capsys, dataset, tmp_path, spoil):
    words = spoil(dataset)
    message = refuse(monkeypatch, capsys, dataset, tmp_path / 'run')
    assert all(word in message for word in words), message
    assert not (tmp_path / 'run').exists()


def test_weights_of_another_architecture(monkeypatch, capsys, good, tmp_path):
    from safetensors.numpy import save_file
    weights = tmp_path / 'vit.safetensors'
    save_file({'blocks.0.attn.qkv.weight': np.zeros((6, 2), np.float32)}, weights)
    message = refuse(monkeypatch, capsys, good, tmp_path / 'run', f'--config.model.pretrained={weights}')
    assert 'vit.safetensors' in message and 'resnet18' in message
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('change', ['--config.model.width=8', '--config.model.norm=group', 'classes'])
def test_checkpoint_of_another_model(monkeypatch, capsys, dataset, tmp_path, change):
    from s4mim_jax.runs.checkpoints import Checkpoints
    from s4mim_jax.training import create_state
    tiny_network.replace(monkeypatch)
    monkeypatch.setattr(sys, 'argv', ['train'])
    overrides = [item.removeprefix('--config.').partition('=')[::2] for item in TINY]
    config = command_line.load_config(f'{ROOT}/configs/shapes.py:fixmatch', [*overrides, ('model.output_stride', '8')])
    checkpoints = Checkpoints(tmp_path / 'run')
    checkpoints.save(create_state(config, 3), {'best_step': None, 'best_miou': None, 'sums': {}})
    checkpoints.close()
    # No config.json there: what speaks is the checkpoint itself.
    before = sorted(str(p) for p in (tmp_path / 'run').rglob('*'))
    if change == 'classes':
        (dataset / 'classes.txt').write_text('0 ground\n1 wall\n2 roof\n3 sky\n')
    message = refuse(monkeypatch, capsys, dataset, tmp_path / 'run', '--config.model.output_stride=8',
                     *([] if change == 'classes' else [change]))
    assert 'another model' in message and 'stored' in message
    assert sorted(str(p) for p in (tmp_path / 'run').rglob('*')) == before


def test_a_workdir_that_cannot_be_written(monkeypatch, capsys, good, tmp_path):
    blocked = tmp_path / 'file'
    blocked.write_text('mine')
    message = refuse(monkeypatch, capsys, good, blocked / 'run')
    assert str(blocked) in message and blocked.read_text() == 'mine'


@pytest.mark.skipif(os.name != 'posix' or os.geteuid() == 0, reason='root may write everywhere')
def test_a_read_only_workdir(monkeypatch, capsys, good, tmp_path):
    (tmp_path / 'locked').mkdir(mode=0o500)
    assert 'locked' in refuse(monkeypatch, capsys, good, tmp_path / 'locked' / 'run')
