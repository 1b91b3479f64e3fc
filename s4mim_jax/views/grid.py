"""Grid masks: whole cells of an image are hidden (MaskMatch, S4MIM)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Key


def grid_mask(keys: Key[Array, ' B'], size: tuple[int, int], patch: float, ratio: float,
              feature_positions: tuple[np.ndarray, np.ndarray] | None = None) -> Bool[Array, 'B H W']:
    """Hides whole cells of a grid, the same number in every image (our reading of MaskMatch).

    round(H / patch) x round(W / patch) cells between rounded linspace edges: they differ by at most
    a pixel and none is a sliver. Of the n cells exactly round(ratio n) are hidden, those with the
    smallest of n uniform numbers: no loop, static shapes, no noise in the ratio.

    Args:
      keys: one per global example (and per view).
      size: (H, W). patch: side of a cell, in pixels; in positions of the feature grid if
        `feature_positions` is given.
      ratio: share of hidden cells, 0..1.
      feature_positions: None, or int [H] and [W], the position of the feature grid that each row and each column of
        pixels belongs to: cells then consist of whole positions.

    Returns:
      True = visible.
    """
    units = size if feature_positions is None else tuple(int(p[-1]) + 1 for p in feature_positions)
    cells = tuple(min(max(1, round(unit / patch)), unit) for unit in units)
    hidden = round(ratio * math.prod(cells))
    noise = jax.vmap(lambda key: jax.random.uniform(key, (math.prod(cells),)))(keys)
    # Ranks by two sorts, not a threshold on the noise: equal numbers would hide a cell too many.
    rank = jnp.argsort(jnp.argsort(noise, axis=-1), axis=-1)
    visible = (rank >= hidden).reshape(-1, *cells)
    rows, columns = (_cell_of(unit, count) for unit, count in zip(units, cells))
    if feature_positions is not None:
        rows, columns = rows[feature_positions[0]], columns[feature_positions[1]]
    return visible[:, rows][:, :, columns]


def _cell_of(length, cells):
    """int [length]: which of the `cells` nearly equal cells each pixel or position of one side lies in (ours)."""
    edges = np.round(np.linspace(0, length, cells + 1)).astype(int)
    return np.repeat(np.arange(cells), np.diff(edges))
