"""Bilinear resizing in both conventions of the field, exact and differentiable.

`jax.image.resize` knows only half-pixel centres and smooths when it shrinks; published recipes
need `align_corners=True` as well, and neither of them smooths. A resize is linear and separable,
so it is two small matrix products with matrices known when the program is built.
"""

import functools

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np


def resize_bilinear(x: jax.Array, size: tuple[int, int], align_corners: bool) -> jax.Array:
    """[B, h, w, C] -> float32 [B, H, W, C] with (H, W) = size.

    align_corners=True maps corner pixels onto corner pixels; False maps pixel areas (half-pixel
    centres, edges clamped). Equal to PyTorch's `interpolate(mode='bilinear')` without antialiasing.
    """
    x = x.astype(jnp.float32)
    height, width = x.shape[1:3]
    if size[0] != height:
        rows = interpolation_matrix(height, size[0], align_corners)
        x = jnp.einsum('Yy,byxc->bYxc', rows, x, precision=lax.Precision.HIGHEST)
    if size[1] != width:
        columns = interpolation_matrix(width, size[1], align_corners)
        x = jnp.einsum('Xx,byxc->byXc', columns, x, precision=lax.Precision.HIGHEST)
    return x


@functools.lru_cache(maxsize=256)
def interpolation_matrix(source: int, target: int, align_corners: bool) -> np.ndarray:
    """float32 [target, source]; row i holds the two weights of output i, summing to one."""
    position = np.arange(target, dtype=np.float64)
    if align_corners:
        position = position * ((source - 1) / (target - 1) if target > 1 else 0.0)
    else:
        position = np.maximum((position + 0.5) * (source / target) - 0.5, 0.0)
    low = np.minimum(np.floor(position).astype(int), source - 1)
    high = np.minimum(low + 1, source - 1)
    matrix = np.zeros((target, source), np.float64)
    np.add.at(matrix, (np.arange(target), low), 1 - (position - low))
    np.add.at(matrix, (np.arange(target), high), position - low)
    return matrix.astype(np.float32)
