"""Colour operations against Pillow, colorsys and NumPy; probabilities; independence of the batch."""

import colorsys
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance

from s4mim_jax import views
from s4mim_jax.config import base
from s4mim_jax.parallel import target
from s4mim_jax.views import color

LUMA = np.array([0.299, 0.587, 0.114])


def pixels(seed=0, size=(24, 32)):
    """A smooth random picture plus pure colours, grays and extremes; uint8."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    image[0, :8] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255],
                    [0, 0, 0], [255, 255, 255]]
    image[1, :4] = [[7, 7, 7], [200, 200, 199], [128, 128, 128], [255, 254, 255]]
    return image


@pytest.mark.parametrize('name, enhancer', [('brightness', ImageEnhance.Brightness),
                                            ('contrast', ImageEnhance.Contrast),
                                            ('saturation', ImageEnhance.Color)])
@pytest.mark.parametrize('factor', [0.0, 0.5, 1.0, 1.45])
def test_blends_agree_with_pillow(name, enhancer, factor):
    image = pixels()
    expected = np.asarray(enhancer(Image.fromarray(image)).enhance(factor), np.float32)
    ours = getattr(views, name)(jnp.asarray(image / 255.0, jnp.float32), factor) * 255.0
    # Pillow rounds the luma, its mean and the result to whole grey levels.
    np.testing.assert_allclose(ours, expected, atol=1.6)


def test_grayscale_agrees_with_pillow():
    image = pixels()
    expected = np.asarray(Image.fromarray(image).convert('L'), np.float32)
    ours = np.asarray(views.grayscale(jnp.asarray(image / 255.0, jnp.float32))) * 255.0
    np.testing.assert_allclose(ours, np.repeat(expected[..., None], 3, -1), atol=0.6)


def hue_reference(image, shift):
    out = np.empty_like(image)
    for index in np.ndindex(image.shape[:2]):
        h, s, v = colorsys.rgb_to_hsv(*image[index])
        out[index] = colorsys.hsv_to_rgb((h + shift) % 1.0, s, v)
    return out


@pytest.mark.parametrize('shift', [-0.25, -0.1, 0.0, 0.17, 0.5])
def test_hue_agrees_with_colorsys(shift):
    image = pixels() / 255.0
    ours = views.hue(jnp.asarray(image, jnp.float32), shift)
    np.testing.assert_allclose(ours, hue_reference(image, shift), atol=2e-6)


def in_order(image, order, factors, shift):
    def blend(x, factor, target):
        return np.clip(factor * x + (1 - factor) * target, 0, 1)
    for operation in order:
        if operation == 0:
            image = blend(image, factors[0], 0.0)
        elif operation == 1:
            image = blend(image, factors[1], (image @ LUMA).mean())
        elif operation == 2:
            image = blend(image, factors[2], (image @ LUMA)[..., None])
        else:
            image = hue_reference(image, shift)
    return image


@pytest.mark.parametrize('branch, over', [(False, jax.vmap), (True, lambda f: lambda orders: jax.lax.map(f, orders))])
def test_all_24_orders_equal_one_operation_after_the_other(branch, over):
    image = pixels(1, (6, 9)) / 255.0
    factors, shift = np.array([1.4, 1.5, 0.6]), 0.21
    orders = np.array(list(itertools.permutations(range(4))))
    ours = jax.jit(over(lambda order: color.apply_in_order(
        jnp.asarray(image, jnp.float32), order, jnp.asarray(factors, jnp.float32), shift, branch=branch)))(orders)
    expected = np.stack([in_order(image, order, factors, shift) for order in orders])
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    assert np.abs(expected - expected[0]).max(axis=(1, 2, 3))[1:].min() > 1e-3  # the order matters


def test_jitter_draws_every_order_and_the_stated_ranges(monkeypatch):
    monkeypatch.setattr(color, 'apply_in_order', lambda image, *drawn, branch: drawn)
    config = base().views
    keys = jax.random.split(jax.random.key(3), 4800)
    order, factors, shift = jax.vmap(lambda key: color.jitter(key, jnp.zeros((1, 1, 3)), config))(keys)
    counts = np.bincount(np.asarray(order) @ [64, 16, 4, 1])
    counts = counts[counts > 0]
    assert len(counts) == 24
    assert ((counts - 200) ** 2 / 200).sum() < 50  # chi square, 23 degrees of freedom: p < .001 above
    drawn = np.concatenate([np.asarray(factors), np.asarray(shift)[:, None] * 2 + 1], axis=1)
    assert 0.5 <= drawn.min() < 0.51 and 1.49 < drawn.max() <= 1.5
    np.testing.assert_allclose(drawn.mean(0), 1.0, atol=0.02)
    np.testing.assert_allclose(drawn.std(0), 1 / 12 ** 0.5, atol=0.01)  # uniform of width one
    assert np.abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.06


def only(**probabilities):
    config = base().views
    for name in ('jitter', 'grayscale', 'blur'):
        config[f'{name}_probability'] = float(probabilities.get(name, 0.0))
    return config


def run(config, keys, images):
    return np.asarray(jax.jit(lambda k, i: views.photometric(k, i, config))(keys, images))


@pytest.mark.parametrize('channels', [3, 4])
def test_images_one_by_one_equal_all_at_once(channels):
    """On a processor a loop with branches, elsewhere and on several devices one program for all."""
    images = jax.random.uniform(jax.random.key(5), (24, 9, 7, channels))
    keys, config = jax.random.split(jax.random.key(6), 24), base().views
    with target.built_for('tpu'):
        together = jax.jit(lambda k, i: views.photometric(k, i, config))(keys, images)
    sharded = jax.jit(lambda k, i: views.photometric(k, i, config, shards=2))(keys, images)
    alone = run(config, keys, images)
    np.testing.assert_allclose(alone, together, atol=1e-6)
    np.testing.assert_allclose(alone, sharded, atol=1e-6)
    assert np.abs(alone - np.asarray(images)).max() > 0.1


@pytest.mark.parametrize('name, probability', [('jitter', 0.8), ('grayscale', 0.2), ('blur', 0.5)])
def test_each_operation_has_its_probability_and_leaves_the_rest_alone(name, probability):
    image = jnp.asarray(pixels(2, (4, 9)) / 255.0, jnp.float32)
    keys = jax.random.split(jax.random.key(1), 2000)
    images = jnp.broadcast_to(image, (2000, *image.shape))
    out = run(only(**{name: probability}), keys, images)
    changed = (out != np.asarray(image)).any(axis=(1, 2, 3))
    assert abs(changed.mean() - probability) < 4 * (probability * (1 - probability) / 2000) ** 0.5
    if name == 'grayscale':
        assert (out[changed] == out[changed][..., :1]).all()
        # Switching the others on does not change who is touched by this one.
        everything = run(base().views, keys, images)
        np.testing.assert_array_equal((np.ptp(everything, axis=-1) < 1e-6).all(axis=(1, 2)), changed)


def test_nothing_on_is_the_identity():
    images = jnp.asarray(pixels()[None] / 255.0, jnp.float32)
    keys = jax.random.split(jax.random.key(0), 1)
    np.testing.assert_array_equal(run(only(), keys, images), images)


def test_an_image_does_not_depend_on_its_batch():
    config = base().views
    images = jnp.asarray(np.stack([pixels(i, (12, 10)) for i in range(6)]) / 255.0, jnp.float32)
    keys = jax.random.split(jax.random.key(7), 6)
    whole = run(config, keys, images)
    order = np.array([4, 1, 5])
    np.testing.assert_allclose(run(config, keys[order], images[order]), whole[order], atol=1e-6)
    assert whole.min() >= 0.0 and whole.max() <= 1.0
    other = run(config, keys, images[::-1])
    assert np.abs(other - whole).max() > 0.05  # and it does depend on the image


def test_normalize():
    image = pixels()
    expected = (image / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    ours = views.normalize(jnp.asarray(image))
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    np.testing.assert_allclose(views.normalize(jnp.asarray(image, jnp.float32)), expected, atol=1e-5)
    np.testing.assert_allclose(views.denormalize(ours), image, atol=1e-3)
