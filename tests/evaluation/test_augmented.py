"""Averaging over scales and mirror images, with networks whose answer depends on where a pixel lies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_inference import WEIGHTS, pictures, positional

from s4mim_jax import evaluation
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.evaluation.augmented import scaled_size
from s4mim_jax.evaluation.inference import Protocol, class_values, protocol_from
from s4mim_jax.models.resize import resize_bilinear
from s4mim_jax.views import normalize

SCALES = (0.5, 1.0, 1.5)


def seen(images):
    return np.asarray(jax.nn.softmax(positional(WEIGHTS, normalize(jnp.asarray(images, jnp.float32)))))


def resized(values, size):
    return np.asarray(resize_bilinear(jnp.asarray(values, jnp.float32), size, False))


def test_whole_is_the_mean_probability_over_scales_and_mirror_images():
    images = pictures(2, (12, 20))
    protocol = Protocol('whole', (4, 4), False, scales=SCALES, flip=True, multiple=4)
    expected = 0
    for size in ((8, 12), (12, 20), (20, 32)):  # 6 x 10 and 18 x 30 at multiples of 4, halves up
        copy = resized(images, size)
        mirrored = seen(copy[:, :, ::-1])[:, :, ::-1]
        expected = expected + resized((seen(copy) + mirrored) / 2, (12, 20)) / 3
    np.testing.assert_allclose(class_values(positional, WEIGHTS, images, protocol), expected, atol=2e-6)
    assert protocol.kind == 'probabilities'


def test_flip_alone_makes_mirror_images_alike():
    images = pictures(1, (8, 10))
    protocol = Protocol('whole', (4, 4), False, flip=True)
    there, back = (class_values(positional, WEIGHTS, x, protocol) for x in (images, images[:, :, ::-1]))
    np.testing.assert_allclose(there, back[:, :, ::-1], atol=1e-6)
    once = Protocol('whole', (4, 4), False)
    plain = class_values(positional, WEIGHTS, images, once)
    assert once.kind == 'logits' and np.abs(jax.nn.softmax(plain) - there).max() > 0.01


def test_sliding_keeps_its_window_and_center_crop_scales_it():
    images = pictures(1, (16, 16))
    sliding = Protocol('sliding', (8, 8), False, scales=(1.0, 2.0), multiple=2)
    one, two = (class_values(positional, WEIGHTS, x, Protocol('sliding', (8, 8), False))
                for x in (images, resize_bilinear(jnp.asarray(images), (32, 32), False)))
    expected = (np.asarray(one) + resized(two, (16, 16))) / 2
    np.testing.assert_allclose(class_values(positional, WEIGHTS, images, sliding), expected, atol=2e-6)

    cropped = Protocol('center_crop', (8, 8), False, scales=(2.0,), multiple=2)
    doubled = resize_bilinear(jnp.asarray(images), (32, 32), False)[:, 8:24, 8:24]
    middle = resized(np.pad(seen(doubled), ((0, 0), (8, 8), (8, 8), (0, 0)), mode='edge'), (16, 16))
    np.testing.assert_allclose(class_values(positional, WEIGHTS, images, cropped), middle, atol=2e-6)


def test_scaled_sizes_fit_the_patch_of_a_vit():
    assert scaled_size((196, 252), 0.75, 14) == (154, 196)
    assert scaled_size((196, 252), 1.0, 14) == (196, 252)
    config = base()
    config.model.encoder = 'dinov2_vits14'
    config.eval.scales = (0.75, 1.0)
    protocol = protocol_from(config)
    assert protocol.multiple == 14 and protocol.augmented
    described = evaluation.describe(config)
    assert described['scales'] == [0.75, 1.0] and described['flip'] is False and described['multiple'] == 14


@pytest.mark.parametrize('scales', [(), (0.0, 1.0), (1.0, 1.0), (20.0,)])
def test_scales_that_make_no_sense_are_refused(scales):
    config = base()
    config.eval.scales = scales
    with pytest.raises(InputError, match='config.eval.scales='):
        protocol_from(config)
