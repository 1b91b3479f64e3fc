"""Free-form masks: strokes and rectangles are hidden (MaskSup; this way of drawing them is ours)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s4mim_jax.parallel.order_statistic import kth_smallest

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Key

# Free-form masks (our reading of MaskSup): 4-12 polylines of width 5-15 % of the shorter side and
# 0-8 rectangles.
_STROKES = (4, 12)
_WIDTHS = (0.05, 0.15)
_RECTANGLES = 8
_RECTANGLE_SIDES = (0.1, 0.4)  # shares of height and width at time 1; about 70 % of that is reached
# All polylines together have this many straight pieces, so that few strokes are long and many are
# short. With pieces of this length (shares of the shorter side) 55 % of an image are covered after
# about 70 % of the way, and in 2 of 100 images not before its end.
_PIECES = 36
_PIECE_LENGTH = 0.45
_TURN = 1.2  # radians, the largest change of direction between two pieces
_TIP = 0.05  # share of a pen's time that goes by while its tip widens; also breaks ties in time
_CORNER = 0.01  # a rectangle's corners come this much later than its sides, so that no whole side ties
# Strokes may leave the image by this share of the shorter side; otherwise its border is hidden too rarely.
_OUTSIDE = 0.1


def freeform_mask(keys: Key[Array, ' B'], size: tuple[int, int], low: float, high: float) -> Bool[Array, 'B H W']:
    """Hides strokes and rectangles, together a share of the image drawn from U(low, high).

    MaskSup's released masks are free-form holes of 50-60 %; this way of drawing them is ours.
    All pens of an image start at once and all rectangles grow at once; a pixel's time is when the
    first of them reaches it. Hidden is what has been reached when the wanted number of pixels is,
    an exact order statistic of the times, so nothing is rejected and repeated. Should the pens finish
    too early, the strokes go on by growing wider.

    Args:
      keys: typed keys [B], one per global example (and per view).
      size: (H, W). low, high: the hidden share, 0 < low <= high < 1.

    Returns:
      bool [B, H, W], True = visible.
    """
    share, pieces, rectangles = jax.vmap(lambda key: _drawing(key, size))(keys)
    times = jax.vmap(lambda p, r: _times(p, r, size))(pieces, rectangles)
    least, most = math.ceil(low * math.prod(size)), math.floor(high * math.prod(size))
    # Pixels of exactly equal time, hardly ever more than two, are hidden together: room for them.
    most = max(most - min(4, (most - least) // 2), least)
    wanted = jnp.minimum(least + (share * (most - least + 1)).astype(jnp.int32), most)
    stop = kth_smallest(times.reshape(len(times), -1), jnp.maximum(wanted, 1) - 1)
    return times > stop[:, None, None]


def _drawing(key, size):
    """What one image's mask is made of: f32 (uniform number [], pieces, rectangles); lengths in pixels (ours).

    key: a typed key []. size: (H, W).
    pieces: dict of [P] arrays: from_y, from_x, move_y, move_x, thickness (half the width), begin and
      duration (times of this piece on its pen's way from 0 to 1).
    rectangles: dict of [R] arrays: y, x (centre), height, width (halves; 0 = not there).
    """
    side = min(size)
    # One draw for everything: each further call of jax.random costs compile time.
    drawn = jax.random.uniform(key, (3 + _STROKES[1] + 3 * _PIECES + 4 * _RECTANGLES,))
    share, many, some = drawn[:3]
    widths, jumps, turns, boxes = jnp.split(drawn[3:], np.cumsum([_STROKES[1], 2 * _PIECES, _PIECES]))

    fewest, most = _STROKES
    strokes = jnp.minimum(fewest + (many * (most - fewest + 1)).astype(jnp.int32), most)
    piece = jnp.arange(_PIECES)
    stroke = piece * strokes // _PIECES
    first = stroke != (piece - 1) * strokes // _PIECES
    begins = -(-stroke * _PIECES // strokes)
    count = -(-(stroke + 1) * _PIECES // strokes) - begins
    # One random walk; where a stroke begins, the pen is lifted and set down elsewhere. Two sides are
    # the period of the fold at the border: a jump by U(0, 2 sides) ends anywhere with equal chance.
    heading = jnp.cumsum((2.0 * turns - 1.0) * jnp.where(first, jnp.pi, _TURN))
    move = _PIECE_LENGTH * side * jnp.stack([jnp.sin(heading), jnp.cos(heading)])
    bounds = jnp.array(size, jnp.float32)[:, None] + 2.0 * _OUTSIDE * side
    jump = jnp.where(first, jumps.reshape(2, _PIECES) * 2.0 * bounds, 0.0)
    end = jnp.cumsum(move + jump, axis=1)
    from_, to = (_fold(position, bounds) - _OUTSIDE * side for position in (end - move, end))
    width = side * (_WIDTHS[0] + (_WIDTHS[1] - _WIDTHS[0]) * widths)
    pieces = dict(from_y=from_[0], from_x=from_[1], move_y=to[0] - from_[0], move_x=to[1] - from_[1],
                  thickness=width[stroke] / 2.0, begin=(piece - begins) / count, duration=1.0 / count)

    y, x, tall, wide = boxes.reshape(4, _RECTANGLES)
    there = jnp.arange(_RECTANGLES) < (some * (_RECTANGLES + 1)).astype(jnp.int32)
    low, high = _RECTANGLE_SIDES
    half = [jnp.where(there, (low + (high - low) * u) * s / 2.0, 0.0) for u, s in zip((tall, wide), size)]
    return share, pieces, dict(y=y * size[0], x=x * size[1], height=half[0], width=half[1])


def _fold(position, bounds):
    """Reflects coordinates f32 [2, P] into 0..bounds, bounds [2, 1], as often as it takes (ours)."""
    return bounds - jnp.abs(position % (2.0 * bounds) - bounds)


def _times(pieces, rectangles, size):
    """f32 [H, W]: when a pixel is reached; up to 1 by a pen or a rectangle, later by strokes that widen (ours).

    pieces, rectangles: f32 [P] and [R] arrays of one image, as `_drawing` returns them.
    """
    rows = jnp.arange(size[0], dtype=jnp.float32)[:, None] + 0.5
    columns = jnp.arange(size[1], dtype=jnp.float32)[None, :] + 0.5

    def stroke(times, p):
        y, x = rows - p['from_y'], columns - p['from_x']
        length2 = jnp.maximum(p['move_y'] ** 2 + p['move_x'] ** 2, 1e-6)
        along = jnp.clip((y * p['move_y'] + x * p['move_x']) / length2, 0.0, 1.0)
        distance2 = (y - along * p['move_y']) ** 2 + (x - along * p['move_x']) ** 2
        aside = distance2 / p['thickness'] ** 2
        way = p['begin'] + along * p['duration']
        return jnp.minimum(times, jnp.where(aside <= 1.0, (1.0 - _TIP) * way + _TIP * aside, aside)), None

    def rectangle(times, r):
        # One that is not there has sides of 0 and gets a time far beyond the strokes'.
        vertical = jnp.abs(rows - r['y']) / jnp.maximum(r['height'], 1e-6)
        horizontal = jnp.abs(columns - r['x']) / jnp.maximum(r['width'], 1e-6)
        reached = jnp.maximum(vertical, horizontal) + _CORNER * jnp.minimum(vertical, horizontal)
        return jnp.minimum(times, reached), None

    times = jnp.full(size, jnp.inf, jnp.float32)
    times, _ = lax.scan(stroke, times, pieces)
    times, _ = lax.scan(rectangle, times, rectangles)
    return times
