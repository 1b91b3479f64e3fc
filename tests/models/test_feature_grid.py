"""The pixels of a position, against the encoder's own arithmetic and loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from s4mim_jax.models import build_model
from s4mim_jax.models.feature_grid import FeatureGrid, feature_grid
from s4mim_jax.models.pixel_decoder import pixel_shuffle

DRAW = np.random.default_rng(0)


@pytest.mark.parametrize('side,stride', [(64, 16), (65, 16), (321, 16), (320, 16), (100, 8), (518, 14), (5, 16)])
@pytest.mark.parametrize('align', [False, True])
def test_every_pixel_has_a_position_of_at_most_a_stride(side, stride, align):
    of_pixels = FeatureGrid(stride, align).of_pixels(side)
    assert of_pixels[0] == 0 and of_pixels[-1] == -(-side // stride) - 1
    assert set(np.diff(of_pixels)) <= {0, 1}
    inner = np.bincount(of_pixels)[1:-1]
    assert (inner == stride).all()
    if align and side % stride == 1:  # position i lies on pixel stride * i, also the last
        for i in range(of_pixels[-1] + 1):
            own = np.flatnonzero(of_pixels == i)
            assert own[0] == max(stride * i - stride // 2, 0)
            assert own[-1] == min(stride * i + (stride - 1) // 2, side - 1)


@pytest.mark.parametrize('size', [(33, 49), (32, 40)])
def test_as_many_positions_as_the_encoder_has(size):
    config = tiny.config('s4mim', crop=size)
    model, image = build_model(config, 3), jnp.zeros((1, *size, 3))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
    last = jax.eval_shape(lambda v: model.apply(v, image, train=False), variables).features[-1]
    positions = feature_grid(config.model)
    assert last.shape[1:3] == tuple(positions.of_pixels(side)[-1] + 1 for side in size)
    assert last.shape[1:3] == positions.at_centres(jnp.zeros((1, *size))).shape[1:3]


@pytest.mark.parametrize('align,size', [(False, (24, 32)), (True, (25, 33)), (True, (24, 30)), (False, (21, 30))])
def test_maps_go_there_and_back(align, size):
    positions = FeatureGrid(8, align)
    rows, columns = map(positions.of_pixels, size)
    coarse = DRAW.integers(0, 100, (2, rows[-1] + 1, columns[-1] + 1))
    fine = coarse[:, rows][:, :, columns]
    np.testing.assert_array_equal(positions.spread(jnp.asarray(coarse), size), fine)
    np.testing.assert_array_equal(positions.at_centres(jnp.asarray(fine)), coarse)
    # What the pixel decoder says of a position lands on the position's pixels.
    squares = pixel_shuffle(jnp.repeat(jnp.asarray(coarse, jnp.float32)[..., None], 8 * 8, -1), 8)
    np.testing.assert_array_equal(positions.crop(squares, size)[..., 0], fine)

    marked = DRAW.random((2, *size)) < 0.5
    expected = np.stack([[[marked[b][np.ix_(rows == r, columns == c)].mean() >= 0.5
                           for c in range(columns[-1] + 1)] for r in range(rows[-1] + 1)] for b in range(2)])
    np.testing.assert_array_equal(positions.largely(jnp.asarray(marked)), expected)
