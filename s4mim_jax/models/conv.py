"""Convolution and max pooling with both paddings of the field; the form of each is chosen by `choose`."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from s4mim_jax.models import conv_forms, extent, pool_forms
from s4mim_jax.parallel import target

# He et al. 2015 with fan_out, as torchvision initialises the convolutions of its encoders.
BEFORE_NORM = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')
# PyTorch's default for a layer whose output no norm rescales: logits start small.
WITHOUT_NORM = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
FORMS = ('xla', 'pointwise', 'sliced', 'shifted', 'folded', 'tapped')
# Below this share of taps inside the map the sliced form won on every map measured on a CPU
# (benchmarks/convolutions.py): .72 by a quarter. At .87 the two are close; at 1 XLA's own wins.
SLICED_BELOW = 0.75
# A 7x7 convolution of stride 2 over three channels takes two thirds of the time when pixels are folded into channels, a
# 3x3 one more or less time by its size (benchmarks/convolution_forms.py, stems). What lies between was not measured.
FOLDED_FROM, FOLDED_BELOW = 7, 5
# The gradient of a kernel is a convolution by the gradient of the output. On a Xeon XLA's takes 2 to 6 times as long as
# a product a tap where the latter outgrows a cache, and .4 to 1 times elsewhere; on an AMD EPYC it was faster always
# (benchmarks/convolution_forms.py).
TAPPED_FROM = 2 ** 21  # bytes
TAPPED_ON = ('GenuineIntel',)


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


def choose(size: tuple[int, int], kernel: int, stride: int, dilation: int, depthwise: bool,
           around: conv_forms.Around, platform: str, channels: int = FOLDED_BELOW, output_bytes: int = 0,
           vendor: str = '') -> str:
    """The fastest form of a convolution: one of FORMS. A pure function of shapes, platform and who made the processor.

    On accelerators it is XLA's own convolution, which their compilers know best.
    """
    if platform != 'cpu':
        return 'xla'
    if depthwise:
        return 'shifted'
    if kernel == 1:
        return 'pointwise'
    if kernel >= FOLDED_FROM and stride > 1 and dilation == 1 and channels < FOLDED_BELOW:
        return 'folded'
    share = conv_forms.tap_share(size, around, kernel, stride, dilation)
    if dilation > 1 and share < SLICED_BELOW:
        return 'sliced'
    tapped = vendor in TAPPED_ON and stride == dilation == 1 and output_bytes > TAPPED_FROM
    return 'tapped' if tapped else 'xla'


def convolve(x: jax.Array, kernel: jax.Array, *, stride: int = 1, dilation: int = 1,
             padding: str = 'symmetric', form: str | None = None, platform: str | None = None) -> jax.Array:
    """Convolution [B, H, W, C] -> [B, H', W', D].

    Args:
      x, kernel: of one dtype; kernel [k, k, C, D], or [k, k, 1, C] for a depthwise one (C > 1).
      padding: 'symmetric' or 'same'.
      form: one of FORMS, None = `choose` for `platform` (None = what the program is built for).
    """
    size, depthwise = kernel.shape[0], kernel.shape[2] == 1 and x.shape[-1] > 1
    around = tuple(pads(n, size, stride, dilation, padding) for n in x.shape[1:3])
    x, around = extent.windowed(x, around, size, stride, dilation, padding)
    outputs = [conv_forms.output_size(n, pad, size, stride, dilation) for n, pad in zip(x.shape[1:3], around)]
    output_bytes = x.shape[0] * math.prod(outputs) * kernel.shape[-1] * x.dtype.itemsize
    if not isinstance(output_bytes, int):  # an export for any batch, which has no gradients
        output_bytes = 0
    form = form or choose(x.shape[1:3], size, stride, dilation, depthwise, around, platform or target.platform(),
                          x.shape[-1], output_bytes, target.vendor())
    if form == 'pointwise':
        return conv_forms.pointwise(x, kernel, stride)
    if form == 'sliced':
        return conv_forms.sliced(x, kernel, stride, dilation, around)
    if form == 'shifted':
        return conv_forms.shifted(x, kernel, stride, dilation, around)
    if form == 'tapped':
        return conv_forms.tapped(x, kernel, stride, dilation, tuple(map(tuple, around)))
    if form == 'folded':
        return conv_forms.folded(x, kernel, stride, tuple(map(tuple, around)))
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), around, rhs_dilation=(dilation, dilation),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'), feature_group_count=x.shape[-1] if depthwise else 1)


class Conv(nn.Module):
    """Convolution of [B, H, W, C] in `dtype`.

    Parameters, float32: kernel [k, k, C, features] (depthwise: [k, k, 1, C]), bias [features].
    """

    features: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    depthwise: bool = False
    use_bias: bool = False
    padding: str = 'symmetric'
    dtype: Any = jnp.float32
    platform: str | None = None
    before_norm: bool = True  # of those without a bias; decides how the kernel is drawn

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        inputs = 1 if self.depthwise else x.shape[-1]
        init = BEFORE_NORM if self.before_norm and not self.use_bias else WITHOUT_NORM
        kernel = self.param('kernel', init, (self.kernel, self.kernel, inputs, self.features), jnp.float32)
        x = convolve(x.astype(self.dtype), kernel.astype(self.dtype), stride=self.stride,
                     dilation=self.dilation, padding=self.padding, platform=self.platform)
        if self.use_bias:
            bias = self.param('bias', nn.initializers.zeros, (self.features,), jnp.float32)
            x = x + bias.astype(self.dtype)
        return x


def max_pool(x: jax.Array, window: int, stride: int, padding: str, platform: str | None = None) -> jax.Array:
    """Maximum over window x window: [B, H, W, C] -> [B, H/stride, W/stride, C]; padding never wins.

    On a processor with a gradient of its own, elsewhere XLA's; `platform`: None = what the program is built for.
    """
    around = tuple(pads(n, window, stride, 1, padding) for n in x.shape[1:3])
    x, around = extent.windowed(x, around, window, stride, 1, padding, fill=-jnp.inf)
    if (platform or target.platform()) == 'cpu':
        return pool_forms.max_pool(x, window, stride, tuple(map(tuple, around)))
    return nn.max_pool(x, (window, window), (stride, stride), around)
