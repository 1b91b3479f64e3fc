"""Networks on padded images, with the outputs of the unpadded ones.

One compiled program serves images of many sizes if they lie at the top left of a larger array. What lies around an
image must then count for nothing: a convolution at its border has to read zeros, a maximum, a mean and a GroupNorm
only its pixels, and a resize has to end where it ends. While `padded` is in force, the operations ask here which part
of a map is image; otherwise there is nothing to ask, and programs are what they are without this file. Ours.

All sizes are traced int32 [B, 2], so they differ within a batch. A map is known by its padded (height, width): every
level of a network has its own, and a level's true size follows from the operations that led there.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax
import jax.numpy as jnp

_levels: contextvars.ContextVar[dict | None] = contextvars.ContextVar('levels', default=None)


@contextlib.contextmanager
def padded(size: tuple[int, int], own: jax.Array) -> Iterator[None]:
    """While it lasts, a network's images of `size` (height, width) hold `own` int32 [B, 2] pixels each."""
    token = _levels.set({tuple(size): own})
    try:
        yield
    finally:
        _levels.reset(token)


def active() -> bool:
    """Whether maps are padded."""
    return _levels.get() is not None


def of(size: tuple[int, int]) -> jax.Array:
    """True sizes int32 [B, 2] of maps of this padded size.

    Raises:
      LookupError: no operation led to such a map: the network has one that does not know about padding.
    """
    levels = _levels.get()
    if tuple(size) == (1, 1):  # one pixel is image
        return jnp.ones_like(next(iter(levels.values())))
    if tuple(size) not in levels:
        raise LookupError(f'a map of {size[0]} x {size[1]} is of no known true size; known: {sorted(levels)}')
    return levels[tuple(size)]


def inside(x: jax.Array, fill: float = 0.0) -> jax.Array:
    """[B, H, W, C] with `fill` wherever there is no image; x itself where nothing is padded."""
    if not active():
        return x
    own = of(x.shape[1:3])
    rows, columns = (jnp.arange(n, dtype=jnp.int32) < own[:, axis, None] for axis, n in enumerate(x.shape[1:3]))
    return jnp.where((rows[:, :, None] & columns[:, None, :])[..., None], x, jnp.asarray(fill, x.dtype))


def mean(x: jax.Array) -> jax.Array:
    """float32 [B, 1, 1, C], the mean of an image's pixels."""
    x = x.astype(jnp.float32)
    if not active():
        return x.mean((1, 2), keepdims=True)
    count = of(x.shape[1:3]).prod(1).astype(jnp.float32)
    return inside(x).sum((1, 2), keepdims=True) / count[:, None, None, None]


def windowed(x: jax.Array, around, kernel: int, stride: int, dilation: int, padding: str, fill: float = 0.0):
    """Input of an operation with windows, so that it reads `fill` around each image.

    Args:
      x: [B, H, W, C]. around: padding of the padded map, ((top, bottom), (left, right)).
      kernel, stride, dilation, padding: of the operation, 'symmetric' or 'same'.
      fill: what lies around.

    Returns:
      (x, around) to work on. The true size of the result is known from here on.
    """
    if not active() or kernel == stride == 1:
        return x, around
    size, own, reach = x.shape[1:3], of(x.shape[1:3]), dilation * (kernel - 1)
    x = inside(x, fill) if kernel > 1 else x
    if padding == 'same' and stride > 1 and reach:
        x, around = _aligned(x, own, reach, stride, fill)
        results = -(-own // stride)
    else:
        results = (own + sum(around[0]) - reach - 1) // stride + 1
    after = tuple((n + sum(pad) - reach - 1) // stride + 1 for n, pad in zip(x.shape[1:3], around))
    if after != tuple(size):
        _levels.get()[after] = results
    return x, around


def _aligned(x, own, reach, stride, fill):
    """TensorFlow's SAME puts zeros in front of an odd length where an even one has none: each image is moved so that
    its first window begins at the map's first row and column."""
    total = jnp.maximum((-(-own // stride) - 1) * stride + reach + 1 - own, 0)
    front = reach // 2  # the most that SAME puts there
    sizes = [(-(-n // stride) - 1) * stride + reach + 1 for n in x.shape[1:3]]
    behind = [max(size - n, 0) for size, n in zip(sizes, x.shape[1:3])]
    x = jnp.pad(x, ((0, 0), (front, behind[0]), (front, behind[1]), (0, 0)), constant_values=fill)
    starts = front - total // 2
    cut = lambda image, start: jax.lax.dynamic_slice(image, (start[0], start[1], 0), (*sizes, image.shape[-1]))
    return jax.vmap(cut)(x, starts), ((0, 0), (0, 0))
