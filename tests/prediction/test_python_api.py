"""docs/python_api.md: every block runs; what people hand in by mistake gets a sentence."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
import tiny
import tiny_run
from PIL import Image

import s4mim_jax
from s4mim_jax.config.errors import InputError
from s4mim_jax.training import make_train_step
from s4mim_jax.training.batch import check_batch
from s4mim_jax.training.state import abstract_state

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'python_api.md'


@pytest.fixture(scope='module')
def predictor(tmp_path_factory):
    return s4mim_jax.load(str(tiny_run.shared(tmp_path_factory)[0]))


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for number, name in enumerate(('one', 'two')):
        pixels = np.random.default_rng(number).integers(0, 256, (5, 7 + number, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((50 + number, 36), Image.Resampling.BICUBIC).save(folder / f'{name}.png')
    return folder


def test_the_blocks_of_the_page_run(tmp_path, tmp_path_factory, photos, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'runs').mkdir()
    (tmp_path / 'runs' / 'try').symlink_to(tiny_run.shared(tmp_path_factory)[0])
    names, blocks = {}, re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 6
    for block in blocks:
        if 'fixmatch\', {' in block:  # the real encoder compiles for long
            block = block.replace("'batch.labeled': 2,", "'batch.labeled': 2, 'model.width': 8,")
        exec(compile(block, str(PAGE), 'exec'), names)  # one after the other, as a reader would
    assert names['ids'].shape == (36, 50) and all((names[name] == names['ids']).all() for name in ('same', 'also'))
    assert [ids.shape for ids in names['both']] == [(36, 50), (36, 51)]
    assert Image.open(tmp_path / 'overlay.png').size == (50, 36)
    assert '<Predictor: unimatch_v2' in capsys.readouterr().out


def test_probabilities_are_those_of_the_classes(predictor, photos):
    scores = predictor.probabilities(str(photos / 'one.png'))
    (ids, top), = predictor.predict([photos / 'one.png'], confidence=True)
    assert scores.shape == (36, 50, len(predictor.classes)) and scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(-1), 1, atol=1e-5)
    assert (scores.argmax(-1) == ids).mean() > 0.999
    np.testing.assert_allclose(scores.max(-1), top, atol=1e-4)


def test_probabilities_of_windows(tmp_path_factory, photos):
    overrides = [('eval.mode', 'sliding'), ('eval.window', '(24, 24)'), ('data.resize', 'None')]
    sliding = s4mim_jax.load(tiny_run.shared(tmp_path_factory)[0], overrides=overrides)
    whole = sliding.probabilities(photos / 'two.png')
    sliding._network = sliding._network._replace(values=None)  # as an export has it
    np.testing.assert_allclose(sliding.probabilities(photos / 'two.png'), whole, atol=1e-5)


@pytest.mark.parametrize('image, message', [
    (np.zeros((8, 8, 3), np.float32), r'images\[0\]: float32 of values 0 .. 0\nvalid: uint8 .*; .*255 \* image'),
    (np.zeros((8, 8, 4), np.uint8), r'uint8 of shape \(8, 8, 4\)\nvalid: uint8 \[H, W, 3\], RGB'),
    ('nowhere.png', r'images\[0\]: nowhere.png cannot be read \(No such file'),
    ('.', r'images\[0\]: . is a folder'), ([1, 2], r'images\[0\]: list\nvalid: a path')])
def test_what_is_no_image(predictor, image, message):
    with pytest.raises(InputError, match=message):
        predictor.predict([image])


def test_pillow_images_are_read_as_their_files(predictor, photos):
    gray = Image.open(photos / 'one.png').convert('L')
    turned = Image.open(photos / 'one.png')
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(photos / 'turned.png', exif=exif)
    gray.save(photos / 'gray.png')
    for name, image in (('gray', gray), ('turned', Image.open(photos / 'turned.png'))):
        np.testing.assert_array_equal(predictor(image), predictor(photos / f'{name}.png'))
    assert predictor(photos / 'turned.png').shape == (50, 36)


def test_loading_says_nothing(tmp_path_factory, caplog, capfd):
    with caplog.at_level(logging.DEBUG, logger='absl'):
        logger = logging.getLogger('absl')
        logger.addHandler(caplog.handler)
        try:
            s4mim_jax.load(tiny_run.shared(tmp_path_factory)[0])
        finally:
            logger.removeHandler(caplog.handler)
    assert [r.getMessage() for r in caplog.records if r.name == 'absl'] == []
    assert 'WARNING' not in capfd.readouterr().err


def test_configs_by_name(monkeypatch, tmp_path):
    config = s4mim_jax.get_config('camvid:s4mim,split=1_8', {'model.encoder': 'resnet18'}, total_steps=200)
    assert (config.total_steps, config.data.split, config.model.encoder) == (200, '1_8', 'resnet18')
    monkeypatch.chdir(tmp_path)  # from anywhere
    assert s4mim_jax.get_config('shapes:fixmatch').method.name == 'fixmatch'
    with pytest.raises(InputError, match=r"no config named 'kitti'\nvalid: .*camvid.*shapes"):
        s4mim_jax.get_config('kitti:fixmatch')
    with pytest.raises(InputError, match='total_step'):
        s4mim_jax.get_config('shapes:fixmatch', total_step=3)
    with pytest.raises(InputError, match='resnet17'):
        s4mim_jax.get_config('shapes:fixmatch', {'model.encoder': 'resnet17'})


@pytest.mark.parametrize('change, message', [
    (lambda b: b['labeled'].pop('index'), r"no 'index' in 'labeled'\nvalid: int32 \[B\]"),
    (lambda b: b.pop('unlabeled'), "no 'unlabeled'"),
    (lambda b: b['unlabeled'].update(image=b['unlabeled']['image'] / np.float32(255)),
     r"batch\['unlabeled'\]\['image'\] is float32 of shape .*\nvalid: uint8"),
    (lambda b: b['labeled'].update(image=b['labeled']['image'][0]), r"is uint8 of shape \(33, 32, 3\)"),
    (lambda b: b['unlabeled'].update(valid=b['unlabeled']['valid'] * 1.0), "'valid'.*float64")])
def test_batches_made_by_hand(change, message):
    batch = tiny.batch(tiny.config())
    check_batch(batch, ('labeled', 'unlabeled'))
    change(batch)
    with pytest.raises(InputError, match=message):
        check_batch(batch, ('labeled', 'unlabeled'))


def test_the_step_checks_its_batch():
    config = tiny.config('supervised', batch=1)
    batch = tiny.batch(config)
    del batch['labeled']['index']
    state = abstract_state(config, tiny.CLASSES)
    with pytest.raises(InputError, match="no 'index'"):
        make_train_step(config, tiny.CLASSES).lower(state, batch)


def test_the_face_of_the_package():
    assert re.fullmatch(r'\d+\.\d+.*', s4mim_jax.__version__) and {'load', 'get_config'} <= set(dir(s4mim_jax))
    assert not hasattr(s4mim_jax, 'lode')
