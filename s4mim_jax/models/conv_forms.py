"""Convolutions written as the operations that XLA does fast on a CPU, each exact.

All take x [B, H, W, C], a kernel [k, k, C or 1, D] of the same dtype, and zero padding
`around = ((top, bottom), (left, right))`; all give [B, H', W', D]. Sources: ours.

- `pointwise`: a 1x1 convolution is one matrix product.
- `sliced`: a convolution is one product per tap over the part of the map where the tap reads a pixel
  and not padding. Large dilations leave most taps little to do, or nothing.
- `shifted`: a depthwise convolution is a sum of shifted copies, each scaled per channel.
- `tapped`: XLA's own convolution but for the gradient of its kernel, a product a tap over all pixels.
- `folded`: with stride s, s x s pixels of few channels become one of s * s times as many, and the stride is gone.

Four have gradients of their own. Inside shard_map these give each device's share of a kernel's
gradient, so a step that uses them needs `check_vma=False` and sums the shares itself.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

Around = tuple[tuple[int, int], tuple[int, int]]


@jax.custom_vjp
def product(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """[B, H, W, C] by [C, D] -> [B, H, W, D]."""
    return jnp.einsum('bhwc,cd->bhwd', x, matrix)


def _product_forward(x, matrix):
    return product(x, matrix), (x, matrix)


def _product_backward(saved, gradient):
    x, matrix = saved
    # Autodiff asks for [D, C] and transposes; over many pixels that product is up to 8 times slower. With the pixels
    # as one axis XLA:CPU needs no transposed copy: 1.1 to 1.5 times faster (benchmarks/convolution_forms.py).
    flat = lambda values: values.reshape(-1, values.shape[-1])
    return (jnp.einsum('bhwd,cd->bhwc', gradient, matrix), jnp.einsum('nc,nd->cd', flat(x), flat(gradient)))


product.defvjp(_product_forward, _product_backward)


def pointwise(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """1x1 convolution without padding."""
    if stride > 1:
        x = x[:, ::stride, ::stride]
    return product(x, kernel[0, 0])


def taps(size: int, output: int, before: int, kernel: int, stride: int, dilation: int):
    """Per tap of one axis: (first output, outputs, first input) of its pixels inside the map.

    Output o of tap t reads input o * stride + t * dilation - before; a tap that only ever reads
    padding has no outputs.
    """
    spans = []
    for tap in range(kernel):
        offset = tap * dilation - before
        first = max(0, -(offset // stride))
        last = min(output - 1, (size - 1 - offset) // stride)
        spans.append((first, max(last - first + 1, 0), first * stride + offset))
    return spans


def output_size(size: int, around: tuple[int, int], kernel: int, stride: int, dilation: int) -> int:
    """Outputs along one axis."""
    return (size + sum(around) - dilation * (kernel - 1) - 1) // stride + 1


def tap_share(size: tuple[int, int], around: Around, kernel: int, stride: int, dilation: int) -> float:
    """Share of all (output, tap) pairs that read a pixel and not padding."""
    share = 1.0
    for n, pad in zip(size, around):
        output = output_size(n, pad, kernel, stride, dilation)
        spans = taps(n, output, pad[0], kernel, stride, dilation)
        share *= sum(count for _, count, _ in spans) / (output * kernel)
    return share


def sliced(x: jax.Array, kernel: jax.Array, stride: int, dilation: int, around: Around) -> jax.Array:
    """Convolution as one matrix product per tap, each over the pixels that the tap reads."""
    size = kernel.shape[0]
    height, width = (output_size(n, pad, size, stride, dilation) for n, pad in zip(x.shape[1:3], around))
    rows = taps(x.shape[1], height, around[0][0], size, stride, dilation)
    columns = taps(x.shape[2], width, around[1][0], size, stride, dilation)
    total = jnp.zeros((x.shape[0], height, width, kernel.shape[-1]), x.dtype)
    for i, (top, tall, y) in enumerate(rows):
        for j, (left, wide, x0) in enumerate(columns):
            if not tall or not wide:
                continue
            seen = x[:, y:y + (tall - 1) * stride + 1:stride, x0:x0 + (wide - 1) * stride + 1:stride]
            part = product(seen, kernel[i, j])
            total += jnp.pad(part, ((0, 0), (top, height - top - tall), (left, width - left - wide), (0, 0)))
    return total


def _plain(x, kernel, stride, around, dilation=1):
    return lax.conv_general_dilated(x, kernel, (stride, stride), around, rhs_dilation=(dilation, dilation),
                                    dimension_numbers=('NHWC', 'HWIO', 'NHWC'))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def tapped(x: jax.Array, kernel: jax.Array, stride: int, dilation: int, around: Around) -> jax.Array:
    """Convolution whose kernel gradient is a matrix product per tap, with all pixels as one axis."""
    return _plain(x, kernel, stride, around, dilation)


def _tapped_forward(x, kernel, stride, dilation, around):
    return tapped(x, kernel, stride, dilation, around), (x, kernel)


def _tapped_backward(stride, dilation, around, saved, gradient):
    x, kernel = saved
    size = kernel.shape[0]
    flat = lambda values: values.reshape(-1, values.shape[-1])
    back, = jax.vjp(lambda x: _plain(x, kernel, stride, around, dilation), x)[1](gradient)
    windows = _windows(x, size, stride, dilation, around)
    parts = [jnp.einsum('nc,nd->cd', flat(windows(i, j)), flat(gradient)) for i in range(size) for j in range(size)]
    return back, jnp.stack(parts).reshape(kernel.shape)


tapped.defvjp(_tapped_forward, _tapped_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def folded(x: jax.Array, kernel: jax.Array, stride: int, around: Around) -> jax.Array:
    """Convolution of stride s over few channels as one of stride 1 over s * s times as many; XLA's own gradients."""
    (b, *sizes, channels), size, s = x.shape, kernel.shape[0], stride
    taps = -(-size // s)  # of the folded kernel
    kernel = jnp.pad(kernel, ((0, taps * s - size),) * 2 + ((0, 0),) * 2)
    kernel = kernel.reshape(taps, s, taps, s, channels, -1).transpose(0, 2, 1, 3, 4, 5)
    outputs = [output_size(n, pad, size, s, 1) for n, pad in zip(sizes, around)]
    # As many rows and columns as the folded windows read: some of the padding goes, or zeros come, at the end.
    read = [(n + taps - 1) * s for n in outputs]
    pads = [(before, wanted - n - before, 0) for (before, _), n, wanted in zip(around, sizes, read)]
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *pads, (0, 0, 0)))
    x = x.reshape(b, read[0] // s, s, read[1] // s, s, channels).transpose(0, 1, 3, 2, 4, 5)
    x = x.reshape(b, read[0] // s, read[1] // s, s * s * channels)
    return _plain(x, kernel.reshape(taps, taps, s * s * channels, -1), 1, ((0, 0), (0, 0)))


def _folded_forward(x, kernel, stride, around):
    return folded(x, kernel, stride, around), (x, kernel)


def _folded_backward(stride, around, saved, gradient):
    return jax.vjp(lambda x, kernel: _plain(x, kernel, stride, around), *saved)[1](gradient)


folded.defvjp(_folded_forward, _folded_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def shifted(x: jax.Array, kernel: jax.Array, stride: int, dilation: int, around: Around) -> jax.Array:
    """Depthwise convolution as shifted multiply-adds; kernel [k, k, 1, C]."""
    return _shifted_sum(x, kernel, stride, dilation, around)


def _shifted_sum(x, kernel, stride, dilation, around):
    size = kernel.shape[0]
    windows = _windows(x, size, stride, dilation, around)
    return sum(windows(i, j) * kernel[i, j, 0] for i in range(size) for j in range(size))


def _windows(x, kernel, stride, dilation, around):
    """(i, j) -> what tap (i, j) reads for every output, padding included."""
    height, width = (output_size(n, pad, kernel, stride, dilation) for n, pad in zip(x.shape[1:3], around))
    padded = jnp.pad(x, ((0, 0), *around, (0, 0)))

    def window(i, j):
        y, x0 = i * dilation, j * dilation
        return padded[:, y:y + (height - 1) * stride + 1:stride, x0:x0 + (width - 1) * stride + 1:stride]

    return window


def _shifted_forward(x, kernel, stride, dilation, around):
    return shifted(x, kernel, stride, dilation, around), (x, kernel)


def _shifted_backward(stride, dilation, around, saved, gradient):
    x, kernel = saved
    # Input p receives from output o by tap t where p = o * stride + t * dilation - before: a shifted sum
    # again, over the gradient spread by the stride and with the kernel reversed.
    reach = dilation * (kernel.shape[0] - 1)
    rows, columns = ((reach - before, n + before - (g - 1) * stride - 1, stride - 1)
                     for n, g, (before, _) in zip(x.shape[1:3], gradient.shape[1:3], around))
    padded = lax.pad(gradient, jnp.zeros((), gradient.dtype), ((0, 0, 0), rows, columns, (0, 0, 0)))
    return (_shifted_sum(padded, kernel[::-1, ::-1], 1, dilation, ((0, 0), (0, 0))),
            _kernel_gradient(x, gradient, kernel, stride, dilation, around))


shifted.defvjp(_shifted_forward, _shifted_backward)

BLOCKS = 8  # rows of outputs that the kernel's gradient adds up before its matrix product


def _kernel_gradient(x, gradient, kernel, stride, dilation, around):
    """Sum over pixels of (what a tap reads) * gradient, per tap and channel: [k, k, 1, C].

    XLA:CPU does a sum over pixels that is fused with its slices one number at a time. Adding
    BLOCKS groups of rows first is elementwise, hence vectorised, and leaves an eighth of the pixels
    to a product with ones, which a matrix product does fast (one row of ones would become a sum again).
    """
    x, gradient = x.astype(jnp.float32), gradient.astype(jnp.float32)
    size, (_, height, _, channels) = kernel.shape[0], gradient.shape
    blocks = min(BLOCKS, height)
    rows = -(-height // blocks)
    missing = rows * blocks - height
    if missing:  # rows without gradient, and the inputs they would read
        gradient = jnp.pad(gradient, ((0, 0), (0, missing), (0, 0), (0, 0)))
        (top, bottom), sides = around
        around = ((top, bottom + missing * stride), sides)
    windows = _windows(x, size, stride, dilation, around)
    sums = []
    for i in range(size):
        for j in range(size):
            read = windows(i, j)
            part = sum(read[:, k * rows:(k + 1) * rows] * gradient[:, k * rows:(k + 1) * rows]
                       for k in range(blocks)).reshape(-1, channels)
            sums.append((jnp.ones((2, part.shape[0]), jnp.float32) @ part)[0])
    return jnp.stack(sums).reshape(kernel.shape).astype(kernel.dtype)
