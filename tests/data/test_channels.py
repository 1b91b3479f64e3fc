"""Views, networks and the step on images of other than three channels."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import tiny_run

from s4mim_jax import models, views
from s4mim_jax.config.errors import InputError
from s4mim_jax.models.input_channels import with_input_channels
from s4mim_jax.planning.program import abstract_batch
from s4mim_jax.training import create_state, make_train_step
from s4mim_jax.training.initial import initial_variables
from s4mim_jax.training.state import abstract_state
from s4mim_jax.views import color


def data(**settings):
    config = tiny.config('supervised').data
    config.update(settings)
    return config


def test_statistics_and_their_defaults():
    assert views.statistics(data()) == (views.MEAN, views.STD)
    assert views.statistics(data(channels=2)) == ((0.449, 0.449), (0.226, 0.226))
    own = data(channels=2, mean=(0.1, 0.5), std=(0.2, 0.25))
    images = np.array([[[51, 255]]], np.uint8)
    np.testing.assert_allclose(views.normalizer(own)(jnp.asarray(images)), [[[0.5, 2.0]]], atol=1e-6)
    back = views.denormalize(jnp.asarray([[[0.5, 2.0]]]), *views.statistics(own))
    np.testing.assert_allclose(back, images, atol=1e-4)


def test_three_channels_are_what_they_were():
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), np.uint8)
    np.testing.assert_array_equal(views.normalizer(data())(jnp.asarray(image)), views.normalize(jnp.asarray(image)))


@pytest.mark.parametrize('channels', [1, 2, 5])
def test_jitter_is_brightness_and_contrast_of_all_channels(channels):
    image = np.random.default_rng(1).random((8, 9, channels)).astype(np.float32)
    settings = SimpleNamespace(brightness=0.5, contrast=0.5, saturation=0.5, hue=0.25)
    seen = set()
    for seed in range(12):
        key = jax.random.key(seed)
        drawn = np.asarray(jax.random.uniform(key, (8,), minval=-1.0))
        order = list(np.argsort(drawn[:4]))
        bright, contrast = 1 + 0.5 * drawn[4], 1 + 0.5 * drawn[5]
        expected = image
        for operation in sorted((0, 1), key=order.index):
            target = 0.0 if operation == 0 else expected.mean()
            factor = bright if operation == 0 else contrast
            expected = np.clip(factor * expected + (1 - factor) * target, 0, 1)
        np.testing.assert_allclose(color.jitter(key, jnp.asarray(image), settings), expected, atol=1e-5)
        seen.add(order.index(0) < order.index(1))
    assert seen == {True, False}


def test_strong_view_of_five_channels_keeps_them_apart():
    config = tiny.config('fixmatch').views
    images = np.random.default_rng(2).random((3, 12, 10, 5)).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), 3)
    strong = views.photometric(keys, jnp.asarray(images), config)
    assert strong.shape == images.shape and 0 <= strong.min() and strong.max() <= 1
    config.update(jitter_probability=0.0, blur_probability=0.0, grayscale_probability=1.0)
    np.testing.assert_array_equal(views.photometric(keys, jnp.asarray(images), config), images)


def test_pictures_to_look_at():
    image = np.arange(2 * 2 * 5, dtype=np.uint8).reshape(2, 2, 5)
    np.testing.assert_array_equal(views.as_rgb(image), image[..., :3])
    np.testing.assert_array_equal(views.as_rgb(image[..., :2]), np.repeat(image[..., :1], 3, 2))


def test_weights_of_rgb_answer_channels_that_are_alike_as_rgb():
    config = tiny.config('supervised')
    module = models.build(config.model, 3)
    variables = models.init_variables(module, jax.random.key(0))
    images = np.random.default_rng(0).normal(size=(1, 32, 32, 1)).astype(np.float32)
    look = jax.jit(lambda variables, images: module.apply(variables, images, train=False).logits)
    rgb = look(variables, np.repeat(images, 3, -1))
    for channels in (1, 5):  # the sum of the kernels is kept
        found = with_input_channels(module, variables, channels)
        np.testing.assert_allclose(look(found, np.repeat(images, channels, -1)), rgb, atol=1e-5)


@pytest.mark.parametrize('encoder', ['resnet18', 'mobilenet_v2'])
def test_kernels_of_other_channels(encoder):
    config = tiny.config('supervised')
    config.model.encoder = encoder
    module = models.build(config.model, 3)
    variables = jax.tree.map(lambda leaf: np.random.default_rng(1).normal(size=leaf.shape).astype(np.float32),
                             jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)))))
    kernels = {}
    for channels in (1, 2, 5):
        pairs = zip(jax.tree.leaves(variables), jax.tree.leaves(with_input_channels(module, variables, channels)))
        changed = [(old, np.asarray(new)) for old, new in pairs if old is not new]
        assert len(changed) == 1
        rgb, kernels[channels] = changed[0]
        assert kernels[channels].shape == (*rgb.shape[:2], channels, rgb.shape[3])
    np.testing.assert_allclose(kernels[1][:, :, 0], rgb.sum(2), atol=1e-5)
    np.testing.assert_allclose(kernels[2][:, :, 1], rgb.mean(2) * 1.5, atol=1e-5)
    np.testing.assert_allclose(kernels[5][:, :, :3], rgb * 0.6, atol=1e-5)
    np.testing.assert_allclose(kernels[5][:, :, 4], rgb.mean(2) * 0.6, atol=1e-5)


def test_a_run_on_rgb_begins_one_on_other_channels(tmp_path_factory):
    run, settings, state = tiny_run.shared(tmp_path_factory)
    config = tiny.config('supervised', data__channels=4)
    config.model.update(settings.model.to_dict())
    config.model.pretrained = str(run)
    variables = initial_variables(config, tiny.CLASSES)
    stem = state.ema['params']['encoder']['stem1']['conv']['kernel']
    found = variables['params']['encoder']['stem1']['conv']['kernel']
    assert found.shape[2] == 4
    np.testing.assert_allclose(found[:, :, :3], np.asarray(stem) * 0.75, atol=1e-6)


def test_a_run_on_other_channels_is_refused(tmp_path, tmp_path_factory):
    import json
    import shutil
    run, settings, _ = tiny_run.shared(tmp_path_factory)
    four = shutil.copytree(run, tmp_path / 'four')
    stored = json.loads((four / 'config.json').read_text())
    stored['data']['channels'] = 4
    (four / 'config.json').write_text(json.dumps(stored))
    config = tiny.config('supervised', data__channels=1)
    config.model.update(settings.model.to_dict())
    config.model.pretrained = str(four)
    with pytest.raises(InputError, match=r'run on images of 4 channel\(s\), --config.data.channels=1\nvalid: 4, or'):
        initial_variables(config, tiny.CLASSES)


@pytest.mark.parametrize('method, channels', [('union', 1), ('s4mim', 4), ('unimatch_v2', 2)])
def test_every_part_of_a_step_takes_the_channels(method, channels):
    config = tiny.config(method, data__channels=channels)
    state = abstract_state(config, tiny.CLASSES)
    _, metrics = jax.eval_shape(make_train_step(config, tiny.CLASSES), state, abstract_batch(config))
    assert abstract_batch(config)['labeled']['image'].shape[-1] == channels and 'loss' in metrics


def test_a_step_on_two_channels_learns():
    config = tiny.config('supervised', data__channels=2, batch=4, crop=(32, 32))
    state, step = create_state(config, tiny.CLASSES), make_train_step(config, tiny.CLASSES)
    batch = tiny.batch(config)
    for part in batch.values():
        part['image'] = part['image'][..., :2]
    after, metrics = step(state, batch)
    assert np.isfinite(float(metrics['loss'].total))
    old, new = (s.params['encoder']['stem1']['conv']['kernel'] for s in (state, after))
    assert old.shape[2] == 2 and np.abs(np.asarray(new) - np.asarray(old)).max(axis=(0, 1, 3)).min() > 0
