"""Pixel decoder of class-wise masked image modelling: positions mix with positions of their own class only.

Our reading of S4MIM (arXiv 2411.08756), which says that the region of each class is reconstructed
independently and gives no code. One gated pass equals one decoder pass per class, each with all
other classes zeroed before every layer. The independence is the decoder's: the encoder's features
have seen their surroundings.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from s4mim_jax.config.labels import IGNORE
from s4mim_jax.models.conv import BEFORE_NORM, Conv
from s4mim_jax.models.norm import EPSILON


# Recomputed in the backward pass: nine copies of the map would wait for it otherwise, and copying
# them twice cost no time that we could measure.
@jax.checkpoint
def gated_conv(x: jax.Array, kernel: jax.Array, gate: jax.Array) -> jax.Array:
    """Class-gated 3x3 convolution, stride 1, zeros around the map: [B, h, w, D] in the dtype of x.

    out(i) = sum over taps d of W_d x(i + d) [gate(i + d) = gate(i)] [gate(i) != 255]

    Ours. The cost does not depend on the number of classes. With one value everywhere in `gate` it
    is an ordinary convolution.

    Args:
      x: [B, h, w, C].
      kernel: [3, 3, C, D], of the dtype of x.
      gate: int32 [B, h, w], the class of each position; 255 neither gives nor receives (output 0).

    Raises:
      ValueError: x and gate differ in B, h or w.
    """
    if gate.shape != x.shape[:-1]:  # the slices below would crop a larger map without a word
        raise ValueError(f'a gate of {gate.shape} does not fit a map of {x.shape}')
    height, width = gate.shape[1:]
    around = ((0, 0), (1, 1), (1, 1))
    padded, classes = jnp.pad(x, (*around, (0, 0))), jnp.pad(gate, around, constant_values=IGNORE)
    taps = []
    for i in range(3):
        for j in range(3):
            passes = (classes[:, i:i + height, j:j + width] == gate) & (gate != IGNORE)
            # Chosen and not multiplied by 0: what is infinite at a closed position must not pass either.
            taps.append(jnp.where(passes[..., None], padded[:, i:i + height, j:j + width], 0))
    # One product of 9C columns, so that bfloat16 is rounded once and not after every tap. On a CPU, forward
    # and backward, it took a sixth less time than nine products at 24x10x10x64, a twentieth at 24x21x21x128.
    return jnp.concatenate(taps, -1) @ kernel.reshape(-1, kernel.shape[-1])


def pixel_shuffle(x: jax.Array, stride: int) -> jax.Array:
    """[B, h, w, stride * stride * C] -> [B, h * stride, w * stride, C].

    The channels of a position are its patch of pixels: (row, column, C), C fastest. Of any dtype, which stays.
    (Sub-pixel convolution, arXiv 1609.05158, in which C is slowest.)
    """
    b, h, w, channels = x.shape
    x = x.reshape(b, h, w, stride, stride, channels // stride**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h * stride, w * stride, -1)


class GatedBlock(nn.Module):
    """relu(x + norm(gated_conv(x))): x [B, h, w, C] in `dtype`, gate i32 [B, h, w] -> [B, h, w, C] in `dtype` (ours).

    The norm is over the channels of each position: statistics over space would carry one class to another.
    """

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, gate: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        kernel = self.param('kernel', BEFORE_NORM, (3, 3, channels, channels), jnp.float32)
        y = gated_conv(x, kernel.astype(self.dtype), gate)
        # Two passes: where nothing was received the variance is exactly 0 and not what rounding leaves.
        y = nn.LayerNorm(epsilon=EPSILON, dtype=self.dtype, use_fast_variance=False, name='norm')(y)
        return jax.nn.relu(x + y)


class PixelDecoder(nn.Module):
    """Encoder features and classes -> normalised pixels; 1x1, gated blocks, 1x1, pixel shuffle (layers are ours).

    features: width. stride: of the encoder's last map, the side of the patch that a position becomes.
    layers: gated blocks, at least 2; without spatial mixing, class-wise and plain masked image
    modelling would be the same function. dtype: of all but the last layer; parameters are float32.
    platform: 'cpu', 'gpu', 'tpu', or None = where JAX runs by default. channels: of the images.
    """

    features: int
    stride: int
    layers: int = 2
    dtype: Any = jnp.float32
    platform: str | None = None
    channels: int = 3

    @nn.compact
    def __call__(self, features: jax.Array, gate: jax.Array) -> jax.Array:
        """Reconstructs pixels: float32 [B, h * stride, w * stride, channels], normalised.

        Args:
          features: [B, h, w, Cf].
          gate: int32 [B, h, w]; positions mix where their values are equal, so one value everywhere is
            plain masked image modelling. 255 takes no part: its own output means nothing (it is finite).

        Raises:
          ValueError: fewer than two layers.
        """
        if self.layers < 2:
            raise ValueError(f'layers={self.layers}: a pixel decoder needs at least 2 gated layers')
        x = Conv(self.features, 1, use_bias=True, dtype=self.dtype, platform=self.platform,
                 name='project')(features)
        for i in range(self.layers):
            x = GatedBlock(self.dtype, name=f'block{i + 1}')(x, gate)
        # float32 here, so that the loss sees pixels of full precision.
        x = Conv(self.channels * self.stride**2, 1, use_bias=True, dtype=jnp.float32, platform=self.platform,
                 name='pixels')(x)
        return pixel_shuffle(x, self.stride)
