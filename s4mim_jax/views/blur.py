"""Gaussian blur with a traced sigma."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from jaxtyping import Array, Float


def kernel_radius(largest_sigma: float) -> int:
    """Taps on either side that hold a Gaussian of `largest_sigma` pixels: 3 sigma, .27 % cut off."""
    return max(1, math.ceil(3.0 * largest_sigma))


def kernel(sigma: Float[Array, ''], radius: int) -> Float[Array, ' taps']:
    """Sampled Gaussian, float32 [2 * radius + 1] that sums to one; sigma in pixels, traced."""
    offsets = jnp.arange(-radius, radius + 1, dtype=jnp.float32)
    weights = jnp.exp(-0.5 * jnp.square(offsets / sigma))
    return weights / jnp.sum(weights)


def gaussian_blur(image: Float[Array, 'H W C'], sigma: Float[Array, ''], radius: int) -> Float[Array, 'H W C']:
    """Separable Gaussian blur; the border is continued by its outermost pixel, as Pillow does.

    Sums of shifted copies: XLA fuses them into one loop, where a depthwise convolution (dm-pix's
    blur, which also darkens the border by padding zeros) takes XLA:CPU's slow path.

    Args:
      image: float32 [H, W, 3] (any range); vmap over a batch.
      sigma: float32 [], standard deviation in pixels, > 0.
      radius: static, see `kernel_radius`.

    Returns:
      float32 [H, W, 3].
    """
    height, width, channels = image.shape
    weights = kernel(sigma, radius)
    # Columns and channels as one axis: a shift by one pixel is a shift by `channels`, and the
    # innermost loop is width * 3 long instead of 3. The barriers keep XLA from computing what made
    # the rows (colour jitter) once again for every tap.
    rows = jnp.pad(image, ((radius, radius), (0, 0), (0, 0)), mode='edge')
    rows = jax.lax.optimization_barrier(rows.reshape(height + 2 * radius, width * channels))
    image = sum(weights[tap] * rows[tap:tap + height] for tap in range(2 * radius + 1))
    columns = jnp.pad(image.reshape(height, width, channels), ((0, 0), (radius, radius), (0, 0)), mode='edge')
    columns = jax.lax.optimization_barrier(columns.reshape(height, (width + 2 * radius) * channels))
    image = sum(weights[tap] * columns[:, channels * tap:channels * (tap + width)]
                for tap in range(2 * radius + 1))
    return image.reshape(height, width, channels)
