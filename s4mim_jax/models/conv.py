"""Convolutions, each in the form that is fast where it runs."""

from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

# He et al. 2015 with fan_out, as torchvision initialises its convolutions.
KERNEL_INIT = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


def pads(size: int, kernel: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """Zeros before and after one axis of `size` pixels.

    'symmetric': dilation * (kernel - 1) / 2 on both sides, as PyTorch's networks are written.
    'same': TensorFlow's SAME; ceil(size / stride) outputs, an odd pixel goes behind.
    """
    reach = dilation * (kernel - 1)
    if padding == 'symmetric':
        return reach // 2, reach // 2
    total = max((-(-size // stride) - 1) * stride + reach + 1 - size, 0)
    return total // 2, total - total // 2


class Conv(nn.Module):
    """Convolution of [B, H, W, Cin] in `dtype`; parameters: kernel float32 [k, k, Cin / groups, features], bias."""

    features: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    depthwise: bool = False
    use_bias: bool = False
    padding: str = 'symmetric'
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        inputs = 1 if self.depthwise else x.shape[-1]
        weights = self.param('kernel', KERNEL_INIT, (self.kernel, self.kernel, inputs, self.features),
                             jnp.float32)
        around = [pads(n, self.kernel, self.stride, self.dilation, self.padding) for n in x.shape[1:3]]
        x = lax.conv_general_dilated(
            x.astype(self.dtype), weights.astype(self.dtype), (self.stride,) * 2, around,
            rhs_dilation=(self.dilation,) * 2, dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
            feature_group_count=x.shape[-1] if self.depthwise else 1)
        if self.use_bias:
            x = x + self.param('bias', nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
        return x


def max_pool(x: jax.Array, window: int, stride: int, padding: str) -> jax.Array:
    """Maximum over window x window: [B, H, W, C] -> [B, H/stride, W/stride, C]."""
    around = [pads(n, window, stride, 1, padding) for n in x.shape[1:3]]
    return nn.max_pool(x, (window, window), (stride, stride), around)
