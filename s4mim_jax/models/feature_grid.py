"""The grid of the encoder's last map laid over the image: which pixels belong to each of its positions (ours)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from s4mim_jax.config.encoder_sizes import feature_stride


class FeatureGrid(NamedTuple):
    """The image cut into squares of `stride` pixels, one for each position of the encoder's last map.

    Masks, labels, visibility and the output of the pixel decoder all use these squares. The square of position i begins
    at pixel stride * i; with `align_corners` it is centred on that pixel. At the border squares are cut off.
    """

    stride: int
    align_corners: bool

    @property
    def _before(self) -> int:
        return self.stride // 2 if self.align_corners else 0

    def of_pixels(self, side: int) -> np.ndarray:
        """int [side]: the position of each pixel along one axis; there are ceil(side / stride)."""
        return np.minimum((np.arange(side) + self._before) // self.stride, -(-side // self.stride) - 1)

    def at_centres(self, array: jax.Array) -> jax.Array:
        """[B, H, W] -> [B, h, w]: the value at the centre of each square."""
        rows, columns = map(self._centres, array.shape[1:3])
        return array[:, rows][:, :, columns]

    def largely(self, marked: jax.Array) -> jax.Array:
        """bool [B, H, W] -> bool [B, h, w]: at least half of the position's pixels are marked."""
        rows, columns = map(self._members, marked.shape[1:3])
        # Whole numbers below 2^24, exact in any order: a share would need a threshold that is not quite a half.
        count = jnp.einsum('bHW,hH,wW->bhw', marked.astype(jnp.float32), rows, columns, precision=lax.Precision.HIGHEST)
        return 2.0 * count >= np.outer(rows.sum(1), columns.sum(1))

    def spread(self, array: jax.Array, size: tuple[int, int]) -> jax.Array:
        """[B, h, w] -> [B, H, W] with (H, W) = size: each pixel has its position's value."""
        rows, columns = map(self.of_pixels, size)
        return array[:, rows][:, :, columns]

    def crop(self, squares: jax.Array, size: tuple[int, int]) -> jax.Array:
        """[B, h * stride, w * stride, C], every square whole -> [B, H, W, C] with (H, W) = size, the image's part."""
        missing = [max(self._before + side - have, 0) for side, have in zip(size, squares.shape[1:3])]
        if any(missing):  # aligned corners, and not a multiple of the stride and one
            squares = jnp.pad(squares, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)), mode='edge')
        return squares[:, self._before:self._before + size[0], self._before:self._before + size[1]]

    def _centres(self, side):
        begin = np.arange(-(-side // self.stride)) * self.stride - self._before
        return np.minimum(begin + self.stride // 2, side - 1)

    def _members(self, side):
        """f32 [positions, side] of 0 and 1: the pixels of each position."""
        of_pixels = self.of_pixels(side)
        return (np.arange(of_pixels[-1] + 1)[:, None] == of_pixels).astype(np.float32)


def feature_grid(model_config) -> FeatureGrid:
    """The grid of the last map of config.model's encoder."""
    return FeatureGrid(feature_stride(model_config), model_config.align_corners)
