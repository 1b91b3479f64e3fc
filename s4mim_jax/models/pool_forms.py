"""Max pooling with a gradient of its own, for processors. Source: ours.

XLA:CPU's gradient of a maximum over windows reduces them once more, over pairs of value and position, one number at a
time. Here the forward pass of training remembers which of the k * k slices held the maximum first, as XLA's and
PyTorch's gradients have it, and the gradient is a sum of shifted maps: a seventh to a thirteenth of the time
(benchmarks/processor_forms.py).
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn

from s4mim_jax.models.conv_forms import Around, output_size


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def max_pool(x: jax.Array, window: int, stride: int, around: Around) -> jax.Array:
    """Maximum over window x window: [B, H, W, C] -> [B, H', W', C]; `around` = ((top, bottom), (left, right))."""
    return nn.max_pool(x, (window, window), (stride, stride), around)  # without a gradient XLA's is as fast


def _slices(x, window, stride, around):
    """What each tap reads for every output, row by row of the window."""
    height, width = (output_size(n, pad, window, stride, 1) for n, pad in zip(x.shape[1:3], around))
    x = jnp.pad(x, ((0, 0), *around, (0, 0)), constant_values=-jnp.inf)
    return [x[:, i:i + (height - 1) * stride + 1:stride, j:j + (width - 1) * stride + 1:stride]
            for i in range(window) for j in range(window)]


def _forward(x, window, stride, around):
    slices = _slices(x, window, stride, around)
    largest = functools.reduce(jnp.maximum, slices)
    first = jnp.full(largest.shape, window * window, jnp.int8)  # a NaN equals nothing and gets no gradient
    for tap in reversed(range(len(slices))):
        first = jnp.where(slices[tap] == largest, jnp.int8(tap), first)
    return largest, (first, x.shape)


def _backward(window, stride, around, saved, gradient):
    first, (b, height, width, channels) = saved
    (top, _), (left, _) = around
    # Input p of the padded map hears from output o by tap t where p = o * stride + t. Inputs of one rest modulo the
    # stride hear from the same taps: each rest is a sum of shifted maps, and all of them interleaved are the gradient.
    rows, columns = (-(-(n + before) // stride) for n, before in ((height, top), (width, left)))

    def share(tap, y, x):
        """What tap (y, x) gives to inputs of its rests, [B, rows, columns, C]."""
        part = jnp.where(first == tap, gradient, jnp.zeros((), gradient.dtype))
        spans = [(t // stride, n - g - t // stride) for t, n, g in zip((y, x), (rows, columns), part.shape[1:3])]
        return jax.lax.pad(part, jnp.zeros((), part.dtype), ((0, 0, 0), *((a, z, 0) for a, z in spans), (0, 0, 0)))

    parts = [[sum((share(y * window + x, y, x) for y in range(i, window, stride) for x in range(j, window, stride)),
                  jnp.zeros((b, rows, columns, channels), gradient.dtype))
              for j in range(stride)] for i in range(stride)]
    total = jnp.stack([jnp.stack(line, 3) for line in parts], 2)  # [B, rows, stride, columns, stride, C]
    total = total.reshape(b, rows * stride, columns * stride, channels)
    return (total[:, top:top + height, left:left + width],)


max_pool.defvjp(_forward, _backward)
