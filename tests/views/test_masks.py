"""Grid masks and free-form masks: exact counts, whole cells, shapes, keys."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from s4mim_jax.views import freeform_mask, grid_mask
from s4mim_jax.views.freeform import _drawing, _times

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


def drawn(several, size):
    return jax.device_get(jax.jit(jax.vmap(partial(_drawing, size=size)))(several))


@pytest.fixture(scope='module')
def drawings():
    """What 200 masks of 50 x 80 pixels are made of, as arrays [200, ...]."""
    return drawn(keys(200), (50, 80))


def test_four_to_twelve_strokes_of_connected_pieces_each_of_one_width(drawings):
    _, pieces, _ = drawings
    strokes, widths = set(), []
    for image in (dict(zip(pieces, fields)) for fields in zip(*pieces.values())):
        begins = np.flatnonzero(image['begin'] == 0.0)
        strokes.add(len(begins))
        ends = image['from_y'] + image['move_y'], image['from_x'] + image['move_x']
        for first, end in zip(begins, [*begins[1:], len(image['begin'])]):
            assert len(set(image['thickness'][first:end])) == 1
            widths.append(2 * image['thickness'][first] / 50)  # of the shorter side
            # A piece begins where and when the one before it ended; the last one ends at time 1.
            np.testing.assert_allclose(image['begin'][first:end] + image['duration'][first:end],
                                       [*image['begin'][first + 1:end], 1.0], atol=1e-6)
            for at, axis in zip(ends, 'yx'):
                np.testing.assert_allclose(at[first:end - 1], image[f'from_{axis}'][first + 1:end], atol=1e-3)
    assert strokes == set(range(4, 13))
    assert 0.05 <= min(widths) < 0.06 and 0.14 < max(widths) <= 0.15
    lengths = np.hypot(pieces['move_y'], pieces['move_x'])
    assert lengths.max() <= 0.45 * 50 + 1e-3 and np.median(lengths) > 0.4 * 50  # shorter only where folded back


def test_none_to_eight_rectangles_of_a_tenth_to_two_fifths_of_a_side(drawings):
    _, _, rectangles = drawings
    there = rectangles['height'] > 0
    np.testing.assert_array_equal(there, rectangles['width'] > 0)
    assert set(there.sum(1)) == set(range(9))
    for name, side in (('height', 50), ('width', 80)):
        share = 2 * rectangles[name][there] / side
        assert 0.1 <= share.min() < 0.12 and 0.38 < share.max() <= 0.4
    assert (0 <= rectangles['y']).all() and (rectangles['y'] <= 50).all() and rectangles['y'].std() > 12
    assert (0 <= rectangles['x']).all() and (rectangles['x'] <= 80).all() and rectangles['x'].std() > 20


def one_stroke(**changes):
    """A pen that goes from (10, 5) to (10, 25), 6 pixels wide."""
    pen = dict(from_y=10.0, from_x=5.0, move_y=0.0, move_x=20.0, thickness=3.0, begin=0.0, duration=1.0)
    return {name: jnp.array([number], jnp.float32) for name, number in (pen | changes).items()}


def one_rectangle(height, width):
    one = dict(y=10.0, x=12.0, height=height, width=width)
    return {name: jnp.array([number], jnp.float32) for name, number in one.items()}


def test_a_pen_reaches_what_lies_within_half_its_width_and_in_the_order_of_its_way():
    times = np.asarray(_times(one_stroke(), one_rectangle(0.0, 0.0), (20, 30)))
    y, x = np.indices((20, 30)) + 0.5
    distance = np.hypot(y - 10, x - np.clip(x, 5, 25))
    np.testing.assert_array_equal(times <= 1.0, distance <= 3.0)
    assert (np.diff(times[10, 5:25]) > 0).all()
    # The widening goes on past the end: the nearer, the sooner.
    outside = np.argsort(times[distance > 3.0], kind='stable')
    assert (np.diff(distance[distance > 3.0][outside]) >= -1e-5).all()


def test_a_rectangle_grows_from_its_centre_to_its_sides():
    far = one_stroke(from_y=-1e4, from_x=-1e4, move_x=0.0)
    times = np.asarray(_times(far, one_rectangle(4.0, 6.0), (20, 30)))
    y, x = np.indices((20, 30)) + 0.5
    np.testing.assert_array_equal(times <= 1.02, (abs(y - 10) <= 4) & (abs(x - 12) <= 6))
    assert np.unravel_index(times.argmin(), times.shape) in [(r, c) for r in (9, 10) for c in (11, 12)]


@pytest.mark.parametrize('side', [224, 321])
def test_at_training_sizes_strokes_and_rectangles_are_hidden_inside_the_band(side):
    masks = np.asarray(freeform(keys(24), (side, side), 0.5, 0.6))
    hidden = 1.0 - masks.mean((1, 2))
    assert 0.5 <= hidden.min() and hidden.max() <= 0.6 and hidden.std() > 0.01
    _, pieces, rectangles = drawn(keys(24), (side, side))
    begins = pieces['begin'] == 0.0
    for y, x, there in ((pieces['from_y'], pieces['from_x'], begins),
                        (rectangles['y'], rectangles['x'], rectangles['height'] > 0)):
        image, which = np.nonzero(there & (0 <= y) & (y < side) & (0 <= x) & (x < side))
        assert len(image) > 50
        assert not masks[image, y[image, which].astype(int), x[image, which].astype(int)].any()


def test_eight_devices_draw_the_same_masks_without_talking():
    mesh = Mesh(np.array(jax.devices()[:8]), ('data',))
    sharded = jax.device_put(keys(8), NamedSharding(mesh, P('data')))
    for draw, settings in ((freeform, ((24, 30), 0.5, 0.6)), (grid, ((24, 30), 6, 0.5))):
        np.testing.assert_array_equal(draw(sharded, *settings), draw(keys(8), *settings))
        text = draw.lower(sharded, *settings).compile().as_text()
        talk = ('all-reduce', 'all-gather', 'all-to-all', 'collective-permute')
        assert not any(name in text for name in talk)
