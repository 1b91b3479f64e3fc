"""What the networks are made of: a style shared by all layers, and convolution + norm + activation."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from s4mim_jax.models.conv import Conv
from s4mim_jax.models.norm import Norm


@dataclasses.dataclass(frozen=True)
class Style:
    """Choices that hold for a whole encoder or decoder.

    padding: 'symmetric' (PyTorch) or 'same' (TensorFlow; the extra pixel of a strided layer goes
      to the bottom and the right). norm: 'batch' or 'group'. frozen: BatchNorm stays at its running
      statistics in training too. axis_name: mesh axis over which BatchNorm statistics are averaged.
      dtype: of the computation; parameters are float32. remat: recompute blocks in the backward pass.
      platform: 'cpu', 'gpu', 'tpu', or None = where JAX runs by default.
    """

    padding: str = 'symmetric'
    norm: str = 'batch'
    frozen: bool = False
    axis_name: str | None = None
    dtype: Any = jnp.float32
    remat: bool = False
    platform: str | None = None


def block(module: type[nn.Module], style: Style) -> type[nn.Module]:
    """The block itself, or its rematerialised form; both have the same parameters."""
    # `train` (argument 2, counting self) decides Python control flow, so it must stay static.
    return nn.remat(module, static_argnums=(2,)) if style.remat else module


class ConvNorm(nn.Module):
    """Convolution without bias, norm, activation: [B, H, W, Cin] -> [B, H', W', features].

    activation: 'relu', 'relu6' or None.
    """

    features: int
    kernel: int
    style: Style
    stride: int = 1
    dilation: int = 1
    depthwise: bool = False
    activation: str | None = 'relu'

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = Conv(self.features, self.kernel, self.stride, self.dilation, self.depthwise,
                 padding=self.style.padding, dtype=self.style.dtype,
                 platform=self.style.platform, name='conv')(x)
        x = Norm(self.style.norm, frozen=self.style.frozen, axis_name=self.style.axis_name,
                 dtype=self.style.dtype, name='norm')(x, train)
        if self.activation == 'relu':
            x = jax.nn.relu(x)
        elif self.activation == 'relu6':
            x = jax.nn.relu6(x)
        return x
