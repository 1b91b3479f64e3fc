"""CutMix: one box per image, pasted into everything that belongs to the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from s4mim_jax.parallel.order_statistic import settled

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Key, Shaped

# Candidates for the aspect ratio. With the recipe's areas more than half of them are accepted on
# average, so that all 32 fail less than once in 10^9 boxes; such a box takes the image's aspect.
_CANDIDATES = 32


def cutmix_boxes(keys: Key[Array, ' B'], size: tuple[int, int], config) -> Bool[Array, 'B H W']:
    """Random boxes of UniMatch's CutMix (recipe: area ~ U, aspect ~ U, resampled until it fits).

    The share of the area is drawn once; then aspect and position are resampled until the box lies
    inside the image. Here the loop has static shape and the same distribution: aspects that fit at
    all are proposed uniformly, each is accepted in proportion to the number of its positions, and
    the position is uniform. Height and width are rounded down.

    Args:
      keys: one per global example (and per view).
      size: (H, W) of the images.
      config: `config.method.cutmix`: probability; area, the share of H * W; aspect = height / width.

    Returns:
      True = take the partner; all False with probability 1 - `probability`.
    """
    return jax.vmap(lambda key: _one_box(key, size, config))(keys)


def paste(box: Bool[Array, 'B H W'], base: Shaped[Array, 'B H W *rest'],
          partner: Shaped[Array, 'B H W *rest']) -> Shaped[Array, 'B H W *rest']:
    """Inside `box` the partner, elsewhere the base.

    Args:
      base, partner: of one dtype: images, pseudo-labels, confidences,
        validity; all parts of an image must be pasted with the same box.

    Returns:
      the shape and dtype of `base`.
    """
    return jnp.where(box.reshape(box.shape + (1,) * (base.ndim - box.ndim)), partner, base)


def _one_box(key, size, config):
    height, width = size
    # One draw for everything: each further call of jax.random costs compile time.
    drawn = jax.random.uniform(key, (4 + 2 * _CANDIDATES,))
    chance, area, vertical, horizontal = drawn[:4]
    share = config.area[0] + (config.area[1] - config.area[0]) * area
    # Whole numbers that were rounded down: the position and the edges must be told the same ones.
    box_height, box_width = settled(_box_shape(drawn[4:4 + _CANDIDATES], drawn[4 + _CANDIDATES:], share, size,
                                               config.aspect))
    top = _position(vertical, height - box_height)
    left = _position(horizontal, width - box_width)
    rows, columns = jnp.arange(height)[:, None], jnp.arange(width)[None, :]
    inside = ((rows >= top) & (rows < top + box_height)
              & (columns >= left) & (columns < left + box_width))
    return inside & (chance < config.probability)


def _position(uniform, last):
    """Uniform in 0..1 -> integer in 0..last; the minimum guards the product's rounding up."""
    return jnp.minimum((uniform * (last + 1)).astype(jnp.int32), last)


def _box_shape(proposals, tests, share, size, aspect_range):
    """(height, width) int32 of a box of `share` of the image, aspects weighted by free positions."""
    height, width = size
    # A box of aspect a has height sqrt(share H W a) <= H and width sqrt(share H W / a) <= W.
    low = jnp.maximum(aspect_range[0], share * height / width)
    high = jnp.maximum(jnp.minimum(aspect_range[1], height / width / share), low)
    aspects = low + (high - low) * proposals
    heights = jnp.sqrt(share * height * width * aspects)
    widths = jnp.sqrt(share * height * width / aspects)
    # Positions per H * W; at most (1 - sqrt(share))^2, reached by a box shaped like the image.
    free = (1.0 - heights / height) * (1.0 - widths / width)
    most = jnp.square(1.0 - jnp.sqrt(share))
    accepted, heights, widths = settled((tests * most < free, heights, widths))
    first = jnp.argmax(accepted)
    fits = accepted[first]
    box_height = jnp.where(fits, heights[first], jnp.sqrt(share) * height)
    box_width = jnp.where(fits, widths[first], jnp.sqrt(share) * width)
    return (jnp.clip(box_height.astype(jnp.int32), 1, height),
            jnp.clip(box_width.astype(jnp.int32), 1, width))
