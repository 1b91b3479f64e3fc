"""Grid masks and free-form masks: exact counts, whole cells, shapes, keys."""

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

from s4mim_jax.views import freeform_mask, grid_mask

freeform = jax.jit(freeform_mask, static_argnums=(1, 2, 3))
grid = jax.jit(grid_mask, static_argnums=(1, 2, 3))


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


@pytest.mark.parametrize('size, patch, ratio', [((32, 48), 8, 0.5), ((33, 47), 8, 0.7), ((321, 321), 32, 0.7),
                                                ((10, 30), 40, 0.5), ((16, 16), 4, 1.0), ((16, 16), 4, 0.0)])
def test_whole_cells_and_their_exact_number(size, patch, ratio):
    masks = np.asarray(grid(keys(5), size, patch, ratio))
    assert masks.dtype == bool and masks.shape == (5, *size)
    rows, columns = (max(1, round(s / patch)) for s in size)
    edges = [np.round(np.linspace(0, s, n + 1)).astype(int) for s, n in zip(size, (rows, columns))]
    for axis_edges, side in zip(edges, size):
        widths = np.diff(axis_edges)
        assert widths.sum() == side and widths.max() - widths.min() <= 1
    cells = np.add.reduceat(np.add.reduceat(masks.astype(int), edges[0][:-1], 1), edges[1][:-1], 2)
    areas = np.diff(edges[0])[:, None] * np.diff(edges[1])
    assert ((cells == 0) | (cells == areas)).all()
    hidden = (cells == 0).sum((1, 2))
    np.testing.assert_array_equal(hidden, round(ratio * rows * columns))


def test_every_cell_is_hidden_equally_often():
    masks = np.asarray(grid(keys(3000), (6, 8), 2, 0.5))[:, ::2, ::2]
    hidden = 1.0 - masks.mean(0)
    assert np.abs(hidden - 0.5).max() < 5 * np.sqrt(0.25 / 3000)


@pytest.mark.parametrize('draw', [
    lambda k: grid(k, (24, 30), 6, 0.5), lambda k: freeform(k, (24, 30), 0.5, 0.6)], ids=['grid', 'freeform'])
def test_a_mask_depends_on_its_own_key_alone(draw):
    several = np.asarray(draw(keys(6)))
    order = np.array([4, 2, 0, 5, 1, 3])
    np.testing.assert_array_equal(draw(keys(6)[order]), several[order])
    changed = np.asarray(draw(keys(6).at[2].set(jax.random.key(99))))
    differs = (changed != several).any((1, 2))
    np.testing.assert_array_equal(differs, np.arange(6) == 2)
    np.testing.assert_array_equal(draw(keys(6)), several)
    assert len(np.unique(several, axis=0)) == 6


@pytest.mark.parametrize('size, low, high', [
    ((48, 60), 0.5, 0.6), ((65, 40), 0.5, 0.6), ((48, 60), 0.1, 0.15), ((48, 60), 0.8, 0.9)])
def test_the_hidden_share_is_inside_the_band(size, low, high):
    masks = np.asarray(freeform(keys(600), size, low, high))
    assert masks.dtype == bool and masks.shape == (600, *size)
    hidden = 1.0 - masks.mean((1, 2))
    assert ((hidden >= low) & (hidden <= high)).mean() >= 0.99
    # Spread evenly over the band, not piled up at an end.
    assert abs(hidden.mean() - (low + high) / 2) < (high - low) / 10
    assert hidden.std() == pytest.approx((high - low) / np.sqrt(12), rel=0.2)


def test_the_hidden_share_may_be_one_number():
    hidden = 1.0 - np.asarray(freeform(keys(50), (40, 50), 0.5, 0.5)).mean((1, 2))
    assert np.abs(hidden - 0.5).max() <= 4 / 2000


def test_no_place_is_favoured():
    hidden = 1.0 - np.asarray(freeform(keys(800), (48, 64), 0.5, 0.6)).mean(0)
    blocks = hidden.reshape(6, 8, 8, 8).mean((1, 3))
    assert 0.42 < blocks.min() and blocks.max() < 0.65


def thickness(masks):
    """Mean radius of the largest hidden square around a hidden pixel: large for blobs, 0 for noise."""
    left, radius = ~masks, np.zeros(len(masks))
    while left.any():
        padded = np.pad(left, ((0, 0), (1, 1), (1, 1)), constant_values=True)
        height, width = left.shape[1:]
        left = np.all([padded[:, y:y + height, x:x + width] for y in range(3) for x in range(3)], axis=0)
        if left.all((1, 2)).any():
            break
        radius += left.sum((1, 2))
    return radius / (~masks).sum((1, 2))


def test_holes_are_strokes_neither_specks_nor_one_blob():
    masks = np.asarray(freeform(keys(100), (64, 80), 0.5, 0.6))
    edges = (masks[:, 1:] != masks[:, :-1]).sum((1, 2)) + (masks[:, :, 1:] != masks[:, :, :-1]).sum((1, 2))
    # A disc of that area has an edge of about 190 pixels, noise one of about 5000.
    assert 250 < np.median(edges) < 1200
    assert 1.0 < np.median(thickness(masks)) < 6.0


def test_eight_devices_draw_the_same_masks_without_talking():
    mesh = Mesh(np.array(jax.devices()[:8]), ('data',))
    sharded = jax.device_put(keys(8), NamedSharding(mesh, P('data')))
    for draw, settings in ((freeform, ((24, 30), 0.5, 0.6)), (grid, ((24, 30), 6, 0.5))):
        np.testing.assert_array_equal(draw(sharded, *settings), draw(keys(8), *settings))
        text = draw.lower(sharded, *settings).compile().as_text()
        talk = ('all-reduce', 'all-gather', 'all-to-all', 'collective-permute')
        assert not any(name in text for name in talk)
