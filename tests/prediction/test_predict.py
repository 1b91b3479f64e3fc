"""Prediction: naming, reading, writing, the Python callable and the command."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_run
from fork_server import QUICK_COMPILES
from PIL import Image

import s4mim_jax
from s4mim_jax import evaluation, views
from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.pixel_format import PLAIN
from s4mim_jax.evaluation.inference import Protocol
from s4mim_jax.models.resize import resize_bilinear
from s4mim_jax.predict import predict_files
from s4mim_jax.prediction.files import find_images, name_results, write_results
from s4mim_jax.prediction.predictor import Settings


def touch(root, *names):
    paths = [root / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')
    return paths


def test_folders_are_searched_sorted_and_files_taken_once(tmp_path):
    b, a, deep, upper, text, old = touch(tmp_path, 'in/b.png', 'in/a.jpg', 'in/c/d.tif', 'in/E.JPEG',
                                         'in/notes.txt', 'in/out/a.png')
    found = find_images([str(b), str(tmp_path / 'in')], tmp_path / 'in/out')
    assert found == [b, upper, a, deep]
    assert old in find_images([str(tmp_path / 'in')], tmp_path / 'elsewhere')
    # A file that is named is taken, whatever it is called; so are folders inside the output's.
    assert find_images([str(text)], tmp_path / 'out') == [text]
    assert find_images([str(tmp_path / 'in/out')], tmp_path / 'in') == [old]
    with pytest.raises(InputError, match='no images: name files'):
        find_images([], tmp_path)
    with pytest.raises(InputError, match='nowhere.jpg: no such file'):
        find_images([str(a), str(tmp_path / 'nowhere.jpg')], tmp_path)
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match=r'(?s)empty: no image.*\.tiff'):
        find_images([str(tmp_path / 'empty')], tmp_path / 'out')


def test_no_two_images_share_a_result(tmp_path):
    paths = touch(tmp_path, 'x/a.jpg', 'y/a.jpg', 'x/b.png', 'x/c.png', 'x/c.jpg', 'x/C.tif', 'x/x_a.png',
                  'x/d.png', 'x/d_confidence.png', 'q/b_overlay.png')
    names = name_results(paths, tmp_path / 'out')
    assert names[0:3] == ['x_a_2', 'y_a', 'b']  # x/x_a.png has that name of its own
    assert names[6] == 'x_a' and names[9] == 'b_overlay'
    suffixes = ('.png', '_overlay.jpg', '_confidence.png')
    files = [f'{name}{suffix}'.lower() for name in names for suffix in suffixes]
    assert len(set(files)) == len(files)


def test_a_result_never_replaces_an_input(tmp_path):
    paths = touch(tmp_path, 'a.png', 'b.jpg')
    with pytest.raises(InputError, match='(?s)a.png.*would replace an input.*folder of its own'):
        name_results(paths, tmp_path)
    assert name_results(paths[1:], tmp_path) == ['b']


def test_written_pictures(tmp_path):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (9, 14, 3), dtype=np.uint8)
    ids = rng.integers(0, 3, (9, 14), dtype=np.uint8)
    confidence = rng.random((9, 14)).astype(np.float32)
    confidence[0, :2] = 0.0, 1.0
    palette = np.array([[0, 0, 0], [255, 0, 0], [0, 128, 64]], np.uint8)
    write_results(tmp_path, 'n', image, ids, confidence, palette)
    classes = Image.open(tmp_path / 'n.png')
    assert classes.mode == 'P'
    np.testing.assert_array_equal(classes, ids)
    np.testing.assert_array_equal(classes.convert('RGB'), palette[ids])
    stored = np.asarray(Image.open(tmp_path / 'n_confidence.png'))
    assert stored.dtype == np.uint16 and stored[0, 0] == 0 and stored[0, 1] == 65535
    np.testing.assert_allclose(stored / 65535, confidence, atol=1 / 65535)
    flat = np.full((32, 32, 3), 200, np.uint8)
    write_results(tmp_path, 'm', flat, np.ones((32, 32), np.uint8), None, palette)
    overlay = np.asarray(Image.open(tmp_path / 'm_overlay.jpg'), int)
    assert np.abs(overlay - [228, 100, 100]).max() <= 3
    assert not (tmp_path / 'm_confidence.png').exists()


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    workdir, config, state = tiny_run.shared(tmp_path_factory)
    return workdir, config, state, s4mim_jax.load(workdir)


def photos(*sizes):
    rng = np.random.default_rng(1)
    return [np.asarray(Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(
        size[::-1], Image.Resampling.BICUBIC)) for size in sizes]


def test_load_is_a_callable(run):
    _, config, state, predictor = run
    assert (predictor.step, predictor.weights, predictor.classes) == (3, 'teacher', tiny_run.CLASSES)
    images = photos((40, 48), (90, 51), (40, 48), (7, 130), (40, 48), (40, 48))
    found = predictor(images)
    look = jax.jit(evaluation.network(config, len(tiny_run.CLASSES)))
    disagree = 0
    for image, ids in zip(images, found):
        small = np.asarray(Image.fromarray(image).resize((48, 32), Image.Resampling.BILINEAR))
        logits = look(state.variables('teacher'), views.normalize(jnp.asarray(small[None])))
        expected = np.argmax(resize_bilinear(logits, image.shape[:2], False)[0], -1)
        assert ids.dtype == np.uint8 and ids.shape == image.shape[:2]
        disagree += np.mean(ids != expected) / len(images)
    assert disagree < 2e-3  # ties in the last bit
    assert len(np.unique(np.concatenate([ids.ravel() for ids in found]))) > 1
    batch = predictor(np.stack([images[0], images[2]]))
    assert batch.shape == (2, 40, 48)
    assert np.mean(batch[1] != found[2]) < 2e-3
    assert np.mean(predictor(images[3]) != found[3]) < 2e-3
    assert predictor([]) == [] and predictor(np.zeros((0, 4, 5, 3), np.uint8)).shape == (0, 4, 5)


def test_confidence_and_student(run):
    workdir, config, state, predictor = run
    image = photos((40, 48))[0]
    ids, top = predictor.predict([image], confidence=True)[0]
    assert top.dtype == np.float32 and (1 / 5 <= top).all() and (top <= 1).all()
    student = s4mim_jax.load(workdir, checkpoint=3, weights='student')
    assert student.weights == 'student' and (student(image) != ids).any()


def test_sliding_and_center_crop_predict_every_pixel(run):
    workdir = run[0]
    image = photos((64, 100))[0]
    whole = s4mim_jax.load(workdir, overrides=[('data.resize', 'None')])(image)
    middle = s4mim_jax.load(workdir, overrides=[('data.resize', 'None'), ('eval.mode', 'center_crop')])(image)
    np.testing.assert_array_equal(middle, whole)
    slid = s4mim_jax.load(workdir, overrides=[('data.resize', 'None'), ('eval.mode', 'sliding')])(image)
    assert slid.shape == whole.shape and (slid != whole).any()


@pytest.mark.parametrize('bad', [np.zeros((4, 5, 3)), np.zeros((4, 5), np.uint8),
                                 np.zeros((4, 5, 4), np.uint8)])
def test_other_arrays_are_refused(run, bad):
    with pytest.raises(InputError, match=r'images\[1\].*\n.*uint8 \[H, W, 3\]'):
        run[3]([photos((4, 5))[0], bad])


def test_a_path_that_leads_nowhere_is_named(run):
    with pytest.raises(InputError, match=r'images\[1\]: x.jpg cannot be read'):
        run[3]([photos((4, 5))[0], 'x.jpg'])


def command(*arguments):
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': QUICK_COMPILES}
    return subprocess.run([sys.executable, '-m', 's4mim_jax.predict', *map(str, arguments)], env=environment,
                          text=True, capture_output=True, timeout=300)


def test_command_writes_what_it_can_and_reports_the_rest(run, tmp_path):
    workdir, predictor = run[0], run[3]
    folder = tmp_path / 'in'
    (folder / 'deep').mkdir(parents=True)
    upright, gray, second = photos((50, 30), (20, 44), (33, 20))
    rotated = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned back by 90 degrees clockwise
    rotated.save(folder / 'a.png', exif=exif)
    Image.fromarray(gray[..., 0].astype(np.uint16) * 257).save(folder / 'deep' / 'b.tif')
    Image.fromarray(second).save(folder / 'deep' / 'a.bmp')
    (folder / 'c.jpg').write_bytes(b'no picture at all')
    Image.fromarray(photos((60, 60))[0]).save(tmp_path / 'd.jpg')
    (folder / 'broken.jpg').write_bytes((tmp_path / 'd.jpg').read_bytes()[:600])
    out = tmp_path / 'out'
    done = command(f'--workdir={workdir}', folder, f'--output={out}', '--confidence')
    assert done.returncode == 1
    assert 'c.jpg' in done.stderr and 'broken.jpg' in done.stderr and 'Traceback' not in done.stderr
    assert '3 of 5 images' in done.stdout
    names = ['b', 'deep_a', 'in_a']
    assert sorted(p.name for p in out.iterdir()) == sorted(
        f'{name}{suffix}' for name in names for suffix in ('.png', '_overlay.jpg', '_confidence.png'))
    for name, image in zip(names, (np.repeat(gray[..., :1], 3, -1), second, upright)):
        ids = np.asarray(Image.open(out / f'{name}.png'))
        assert ids.shape == image.shape[:2] == np.asarray(Image.open(out / f'{name}_overlay.jpg')).shape[:2]
        assert np.mean(ids != predictor(image)) < 5e-3


def test_bad_usage_ends_with_status_2(run, tmp_path):
    image = tmp_path / 'a.png'
    Image.fromarray(photos((8, 8))[0]).save(image)
    done = command(f'--workdir={run[0]}', f'--output={tmp_path / "out"}', tmp_path / 'missing.jpg')
    assert done.returncode == 2 and 'missing.jpg' in done.stderr and 'Traceback' not in done.stderr
    done = command(f'--workdir={tmp_path}', f'--output={tmp_path / "out"}', image)
    assert done.returncode == 2 and 'config.json' in done.stderr and 'Traceback' not in done.stderr
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('key', ['eval.batch', 'eval.multiple'])
def test_settings_that_would_predict_nothing_are_refused(run, key):
    with pytest.raises(InputError, match=f'--config.{key}=0: must be at least 1'):
        s4mim_jax.load(run[0], overrides=[(key, '0')])


def test_what_was_written_is_counted(tmp_path, capsys):
    """With a model that answers one image of a batch only."""
    class Idle:
        settings = Settings(None, 1, 2, PLAIN, Protocol('whole', (4, 4), False))
        palette = np.zeros((2, 3), np.uint8)
        windows_of = lambda self, size: None

        def predict(self, images, confidence):
            return [(np.zeros(image.shape[:2], np.uint8), None) for image in images[:1]]

    paths = [tmp_path / f'{name}.png' for name in 'abc']
    for path in paths:
        Image.fromarray(photos((8, 8))[0]).save(path)
    (tmp_path / 'out').mkdir()
    assert predict_files(Idle(), paths, list('abc'), tmp_path / 'out') == []
    assert '2 of 3 images' in capsys.readouterr().out
    assert len(list((tmp_path / 'out').glob('?.png'))) == 2


def test_prediction_needs_no_tensorflow():
    program = ('import sys, s4mim_jax.predict, s4mim_jax; s4mim_jax.load; '
               'sys.exit("tensorflow" in sys.modules)')
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
    assert subprocess.run([sys.executable, '-c', program], env=environment, timeout=120).returncode == 0
