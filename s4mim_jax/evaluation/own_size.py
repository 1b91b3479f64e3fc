"""From the network's size back to each image's own size, in one program for all sizes.

Own sizes are traced; only the canvas that holds the result is static. Rows are worked off in
strips, so that the scores of all classes at full size never exist at once: a photograph of 12
megapixels with 21 classes would need a gigabyte.
"""

import jax
import jax.numpy as jnp

from s4mim_jax.models.resize import interpolation_taps

_STRIP = 64  # rows at a time


def resize_rows(values: jax.Array, own: jax.Array, rows: jax.Array, width: int,
                align_corners: bool, seen: jax.Array | None = None) -> jax.Array:
    """Some rows of values resized to their images' own sizes.

    Args:
      values: float32 [B, h, w, C].
      own: int32 [B, 2], (H, W) of each image.
      rows: int32 [n], the output rows.
      width: columns of the result; those past an image's own width mean nothing.
      align_corners: the model's convention.
      seen: int32 [B, 2], the part of `values` at the top left that belongs to the image; None = all of it.

    Returns:
      float32 [B, n, width, C].
    """
    columns = jnp.arange(width, dtype=jnp.int32)

    def one(value, size, source):
        top, bottom, weight = interpolation_taps(rows, source[0], size[0], align_corners)
        value = _mix(value[top], value[bottom], weight[:, None, None])
        left, right, weight = interpolation_taps(columns, source[1], size[1], align_corners)
        return _mix(value[:, left], value[:, right], weight[None, :, None])

    values = values.astype(jnp.float32)
    if seen is None:
        return jax.vmap(lambda value, size: one(value, size, value.shape))(values, own)
    return jax.vmap(one)(values, own, seen)


def _mix(first, second, weight):
    return first * (1.0 - weight) + second * weight


def decide(values: jax.Array, own: jax.Array, canvas: tuple[int, int], align_corners: bool, *,
           confidence: str | None = None, seen: jax.Array | None = None) -> tuple[jax.Array, jax.Array | None]:
    """The best class of every pixel at the images' own sizes.

    Args:
      values: float32 [B, h, w, C], logits or probabilities at the network's size.
      own: int32 [B, 2], own (H, W), at most the canvas.
      canvas: static (Hc, Wc).
      align_corners: the model's convention.
      confidence: None; 'logits' or 'probabilities', what `values` are, to get the best class's
        probability as well.
      seen: int32 [B, 2], the part of `values` that belongs to each image; None = all of it.

    Returns:
      (uint8 [B, Hc, Wc] class ids, float32 [B, Hc, Wc] probability of that class or None). Pixels of
      the canvas outside an image mean nothing.
    """
    height, width = canvas
    strips = -(-height // _STRIP)
    rows = jnp.arange(strips * _STRIP, dtype=jnp.int32).reshape(strips, _STRIP)

    def strip(rows):
        scores = resize_rows(values, own, rows, width, align_corners, seen)
        best = jnp.argmax(scores, axis=-1).astype(jnp.uint8)
        if confidence is None:
            return best
        if confidence == 'logits':
            scores = jax.nn.softmax(scores)
        return best, jnp.max(scores, axis=-1)

    def join(parts):  # [strips, B, rows, width] -> [B, Hc, Wc]
        joined = jnp.moveaxis(parts, 0, 1)
        return joined.reshape(joined.shape[0], -1, width)[:, :height]

    done = jax.tree.map(join, jax.lax.map(strip, rows))
    return done if confidence else (done, None)


def nearest_source(index: jax.Array, source: int, target: jax.Array, align_corners: bool) -> jax.Array:
    """The network pixel (int32 [n]) that an output pixel lies closest to."""
    low, high, weight = interpolation_taps(index, source, target, align_corners)
    return jnp.where(weight < 0.5, low, high)
