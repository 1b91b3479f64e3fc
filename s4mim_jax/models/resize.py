"""Bilinear resizing in both conventions of the field, and bicubic, exact and differentiable.

`jax.image.resize` knows only half-pixel centres and smooths when it shrinks; published recipes
need `align_corners=True` as well, and neither of them smooths. A resize is linear and separable,
so it is two small matrix products with matrices known when the program is built.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s4mim_jax.models import extent


def resize_bilinear(x: jax.Array, size: tuple[int, int], align_corners: bool) -> jax.Array:
    """[B, h, w, C] -> float32 [B, H, W, C] with (H, W) = size.

    align_corners=True maps corner pixels onto corner pixels; False maps pixel areas (half-pixel
    centres, edges clamped). Equal to PyTorch's `interpolate(mode='bilinear')` without antialiasing.
    """
    if extent.active():
        return _resize_padded(x, size, align_corners)
    rows, columns = (None if n == m else interpolation_matrix(n, m, align_corners)
                     for n, m in zip(x.shape[1:3], size))
    return separable(x, rows, columns)


def _resize_padded(x, size, align_corners):
    """The same for images that are padded: from their true sizes to those of maps of `size`, see `extent`."""
    source, target = extent.of(x.shape[1:3]), extent.of(size)
    x = extent.inside(x.astype(jnp.float32))

    def matrices(axis):  # [B, outputs, inputs]
        taps = jax.vmap(lambda n, m: interpolation_taps(jnp.arange(size[axis], dtype=jnp.int32), n, m, align_corners))
        low, high, weight = (tap[..., None] for tap in taps(source[:, axis], target[:, axis]))
        inputs = jnp.arange(x.shape[1 + axis], dtype=jnp.int32)
        return jnp.where(inputs == low, 1.0 - weight, 0.0) + jnp.where(inputs == high, weight, 0.0)

    x = jnp.einsum('bYy,byxc->bYxc', matrices(0), x, precision=lax.Precision.HIGHEST)
    return jnp.einsum('bXx,byxc->byXc', matrices(1), x, precision=lax.Precision.HIGHEST)


LONGEST = 2 ** 22  # of a side in pixels, exclusive: up to here positions are exact


def interpolation_taps(index: jax.Array, source: int | jax.Array, target: jax.Array, align_corners: bool, xp=jnp):
    """Where output pixels of a bilinear resize read; the sizes enter in exact integer arithmetic.

    Args:
      index: int32 [n], output pixels; those >= target give something finite.
      source: input length. target: int32 [], traced output length; both below LONGEST. 0, of rows that
        fill up a batch, gives something finite as well.
      align_corners: as in `resize_bilinear`, which this equals.
      xp: what computes; numpy compiles nothing.

    Returns:
      (int32 [n] first tap, int32 [n] second tap, float32 [n] weight of the second).
    """
    index, source, target = (xp.asarray(n).astype(xp.int32) for n in (index, source, target))
    if align_corners:
        denominator = xp.maximum(target - 1, 1)
        low, rest = _product_over(index, source - 1, denominator, xp)
    else:  # ((2 i + 1) * source - target) / (2 * target), and 0 where that is negative
        denominator = xp.maximum(2 * target, 1)
        low, rest = _product_over(2 * index + 1, source, denominator, xp)
        low, rest = xp.where(rest >= target, low, low - 1), xp.where(rest >= target, rest - target, rest + target)
        low, rest = xp.maximum(low, 0), xp.where(low < 0, 0, rest)
    weight = rest.astype(xp.float32) / denominator.astype(xp.float32)
    low = xp.minimum(low, source - 1)
    return low, xp.minimum(low + 1, source - 1), weight


def _product_over(index, factor, denominator, xp):
    """Quotient and rest (int32) of index * factor / denominator, exact although the product may not fit 32 bits.

    Written division, eight bits of the index at a time: what is held stays below 2^9 * denominator.
    """
    index, factor, denominator = (n.astype(xp.uint32) for n in (index, factor, denominator))
    whole, factor = factor // denominator, factor % denominator
    quotient, rest = xp.zeros_like(index), xp.zeros_like(index)
    for shift in (16, 8, 0):
        held = (rest << xp.uint32(8)) + (index >> xp.uint32(shift) & xp.uint32(255)) * factor
        quotient, rest = (quotient << xp.uint32(8)) + held // denominator, held % denominator
    return (quotient + whole * index).astype(xp.int32), rest.astype(xp.int32)


def resize_to_stride(x: jax.Array, stride: int, target: int, align_corners: bool) -> jax.Array:
    """A map [B, h, w, C] of one position every `stride` pixels -> float32 [B, H, W, C], one every `target`.

    Of an image of h * stride pixels it has ceil(h * stride / target) rows, as a strided encoder gives.
    """
    size = tuple(-(-n * stride // target) for n in x.shape[1:3])
    return resize_bilinear(x, size, align_corners)


def separable(x: jax.Array, rows: np.ndarray | None, columns: np.ndarray | None) -> jax.Array:
    """[B, h, w, C] by rows [H, h] and columns [W, w] -> float32 [B, H, W, C]; None leaves an axis alone."""
    x = x.astype(jnp.float32)
    if rows is not None:
        x = jnp.einsum('Yy,byxc->bYxc', rows, x, precision=lax.Precision.HIGHEST)
    if columns is not None:
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


@functools.lru_cache(maxsize=256)
def cubic_matrix(source: int, target: int, *, scale: float | None = None, antialias: bool = False) -> np.ndarray:
    """Bicubic interpolation along an axis, half-pixel centres: float32 [target, source], rows sum to one.

    Keys' kernel (1981) in the two versions of the field. PyTorch's `interpolate(mode='bicubic')`: a = -.75,
    four taps, those outside repeat the border. With `antialias`, as PyTorch's and PIL's: a = -.5, the kernel
    widened by source / target when shrinking, taps outside left out and the rest normalised.

    Args:
      source, target: lengths. scale: output pixels per source pixel, None = target / source.
    """
    step = 1.0 / scale if scale else source / target
    position = (np.arange(target, dtype=np.float64) + 0.5) * step - 0.5
    if antialias:
        widened = max(step, 1.0)
        weights = _keys((np.arange(source) - position[:, None]) / widened, -0.5)
        return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    matrix, low = np.zeros((target, source), np.float64), np.floor(position).astype(int)
    for tap in range(-1, 3):
        column = np.clip(low + tap, 0, source - 1)
        np.add.at(matrix, (np.arange(target), column), _keys(position - (low + tap), -0.75))
    return matrix.astype(np.float32)


def _keys(x: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic convolution kernel, 0 from 2 on."""
    x = np.abs(x)
    near = (a + 2) * x ** 3 - (a + 3) * x ** 2 + 1
    far = a * (x ** 3 - 5 * x ** 2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
