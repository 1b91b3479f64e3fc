"""Targets normalised patch by patch (`method.mim.patch_norm`; MAE, arXiv 2111.06377)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

if TYPE_CHECKING:
    from jaxtyping import Array, Float

# Side of the squares, pixels: MAE's. Ours is to keep it whatever the encoder's stride, 8 to 32, so that the target is
# the same for every network that reconstructs it.
PATCH = 16


def normalize_patches(images: Float[Array, 'B H W C'], patch: int) -> Float[Array, 'B H W C']:
    """Mean 0, deviation 1 in every patch x patch square and channel.

    Squares begin at the upper left; one that the border cuts off goes on with its last row and column (ours).
    """
    squares = _squares(images, patch)
    mean, deviation = _moments(squares)
    return _joined((squares - mean) / deviation, images.shape)


def restore_patches(normalized: Float[Array, 'B H W C'], images: Float[Array, 'B H W C'],
                    patch: int) -> Float[Array, 'B H W C']:
    """Gives each square the mean and deviation that it has in `images`; f32 [B, H, W, C] all three (ours).

    The inverse of `normalize_patches` where `normalized` came of `images`.
    """
    mean, deviation = _moments(_squares(images, patch))
    return _joined(_squares(normalized, patch) * deviation + mean, images.shape)


def _squares(images, patch):
    """[B, H, W, C] -> [B, rows, patch, columns, patch, C], the border repeated until every square is whole."""
    batch, height, width, channels = images.shape
    around = [(0, 0), (0, -height % patch), (0, -width % patch), (0, 0)]
    whole = jnp.pad(images, around, mode='edge')
    return whole.reshape(batch, whole.shape[1] // patch, patch, whole.shape[2] // patch, patch, channels)


def _moments(squares):
    """Mean and deviation of each square and channel: f32 [B, rows, 1, columns, 1, C]."""
    mean, var = jnp.mean(squares, (2, 4), keepdims=True), jnp.var(squares, (2, 4), keepdims=True)
    return mean, jnp.sqrt(var + 1e-6)


def _joined(squares, shape):
    """The inverse of `_squares` for images of `shape`."""
    batch, rows, patch, columns = squares.shape[:4]
    return squares.reshape(batch, rows * patch, columns * patch, -1)[:, :shape[1], :shape[2]]
