"""A network gives an image that is padded into a larger array what it gives the image alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s4mim_jax import models
from s4mim_jax.config import base
from s4mim_jax.models import extent
from s4mim_jax.models.conv import convolve, max_pool
from s4mim_jax.models.norm import Norm
from s4mim_jax.models.resize import resize_bilinear

SIZE = (40, 48)


def poisoned(image, size=SIZE):
    """[1, h, w, C] at the top left of a larger array of large numbers."""
    around = np.full((1, *size, image.shape[-1]), 1e3, np.float32)
    around[:, :image.shape[1], :image.shape[2]] = image
    return around


def both(function, shapes, size=SIZE, channels=3):
    """(result of an image alone, result of the padded one cut to it), one program for all padded ones."""
    @jax.jit
    def padded(x, own):
        with extent.padded(size, own):
            return function(x)

    draw = np.random.default_rng(0)
    images = [draw.normal(size=(1, *shape, channels)).astype(np.float32) for shape in shapes]
    together = padded(np.concatenate([poisoned(x, size) for x in images]), np.array(shapes, np.int32))
    assert padded._cache_size() == 1
    for number, image in enumerate(images):
        alone = np.asarray(jax.jit(function)(image))
        yield alone, np.asarray(together)[number:number + 1, :alone.shape[1], :alone.shape[2]]


SHAPES = ((40, 48), (33, 41), (34, 47), (7, 30))


@pytest.mark.parametrize('padding', ['symmetric', 'same'])
@pytest.mark.parametrize('kernel, stride, dilation, depthwise, form', [
    (3, 1, 1, False, 'xla'), (3, 2, 1, False, 'xla'), (7, 2, 1, False, 'xla'), (3, 2, 1, True, 'shifted'),
    (3, 1, 6, False, 'sliced'), (1, 2, 1, False, 'pointwise'), (3, 2, 2, False, 'xla')])
def test_convolutions(padding, kernel, stride, dilation, depthwise, form):
    weights = np.random.default_rng(1).normal(size=(kernel, kernel, 1 if depthwise else 3, 3)).astype(np.float32)
    function = lambda x: convolve(x, jnp.asarray(weights), stride=stride, dilation=dilation, padding=padding, form=form)
    for alone, padded in both(function, SHAPES):
        np.testing.assert_allclose(padded, alone, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize('padding', ['symmetric', 'same'])
@pytest.mark.parametrize('window', [2, 3])
def test_max_pool(padding, window):
    if padding == 'symmetric' and window == 2:
        pytest.skip('an even window has no middle')
    for alone, padded in both(lambda x: max_pool(x, window, 2, padding), SHAPES):
        np.testing.assert_array_equal(padded, alone)


@pytest.mark.parametrize('align_corners', [True, False])
def test_resizes_between_the_levels_of_a_network(align_corners):
    def function(x):  # down by strides, up by resizes; ones as kernels
        down = convolve(x, jnp.ones((3, 3, 3, 3)) / 27, stride=2)
        return resize_bilinear(down, x.shape[1:3], align_corners)

    for alone, padded in both(function, SHAPES):
        np.testing.assert_allclose(padded, alone, rtol=1e-5, atol=1e-5)


def test_means_and_group_norm_count_pixels_of_images_alone():
    norm = Norm('group')
    variables = norm.init(jax.random.key(0), jnp.zeros((1, 4, 4, 3)), False)
    for alone, padded in both(lambda x: norm.apply(variables, x, False) + extent.mean(x), SHAPES):
        np.testing.assert_allclose(padded, alone, rtol=1e-5, atol=1e-5)


def test_a_map_of_unknown_size_is_refused():
    with extent.padded((8, 8), jnp.array([[4, 4]])), pytest.raises(LookupError, match='9 x 8'):
        convolve(jnp.zeros((1, 9, 8, 3)), jnp.zeros((3, 3, 3, 3)))
    assert not extent.active()


@pytest.mark.parametrize('settings', [
    dict(encoder='resnet18', width=4, padding='symmetric', align_corners=True),
    dict(encoder='resnet18', width=4, padding='same', stem='deep', norm='group'),
    dict(encoder='mobilenet_v2', padding='same'),
    dict(encoder='unet', decoder='unet', unet_widths=(8, 8, 4, 4)),
    dict(encoder='resnet18', width=4, decoder='unet', unet_widths=(8, 8, 4, 4)),
], ids=lambda value: '-'.join(str(v) for v in value.values() if isinstance(v, str)))
def test_whole_networks(settings):
    model_config = base().model
    model_config.update(decoder_width=4, low_level_width=2, aspp_rates=(2, 4))
    model_config.update(settings)
    model = models.build(model_config, 5)
    variables = models.init_variables(model, jax.random.key(0))
    # Statistics and biases that move zeros: what lies around an image does not stay zero by itself.
    variables = jax.tree.map(lambda x: x + 0.1 * np.random.default_rng(2).random(x.shape, np.float32), variables)
    function = lambda x: model.apply(variables, x, train=False).logits
    for alone, padded in both(function, ((33, 41), (34, 48))):
        assert np.ptp(alone) > 1e-3
        np.testing.assert_allclose(padded, alone, rtol=1e-4, atol=1e-4 * np.abs(alone).max())
