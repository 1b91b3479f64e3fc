"""From the network's size back to each image's own size, in one program for all sizes.

Own sizes are traced; only the canvas that holds the result is static. Rows are worked off in
strips, so that the scores of all classes at full size never exist at once: a photograph of 12
megapixels with 21 classes would need a gigabyte.
"""

import jax
import jax.numpy as jnp

_STRIP = 64  # rows at a time


def interpolation_taps(index: jax.Array, source: int, target: jax.Array, align_corners: bool):
    """Where output pixels of a bilinear resize read; the sizes enter in exact integer arithmetic.

    Args:
      index: int32 [n], output pixels; those >= target give something finite.
      source: input length. target: int32 [], traced output length; both below 2^15. 0, of rows that
        fill up a batch, gives something finite as well.
      align_corners: as in `models.resize.resize_bilinear`, which this equals.

    Returns:
      (int32 [n] first tap, int32 [n] second tap, float32 [n] weight of the second).
    """
    if align_corners:
        numerator, denominator = index * (source - 1), jnp.maximum(target - 1, 1)
    else:
        numerator, denominator = jnp.maximum((2 * index + 1) * source - target, 0), jnp.maximum(2 * target, 1)
    low = numerator // denominator
    weight = (numerator - low * denominator).astype(jnp.float32) / denominator.astype(jnp.float32)
    low = jnp.minimum(low, source - 1)
    return low, jnp.minimum(low + 1, source - 1), weight


def resize_rows(values: jax.Array, own: jax.Array, rows: jax.Array, width: int,
                align_corners: bool) -> jax.Array:
    """Some rows of values resized to their images' own sizes.

    Args:
      values: float32 [B, h, w, C].
      own: int32 [B, 2], (H, W) of each image.
      rows: int32 [n], the output rows.
      width: columns of the result; those past an image's own width mean nothing.
      align_corners: the model's convention.

    Returns:
      float32 [B, n, width, C].
    """
    columns = jnp.arange(width, dtype=jnp.int32)

    def one(value, size):
        top, bottom, weight = interpolation_taps(rows, value.shape[0], size[0], align_corners)
        value = _mix(value[top], value[bottom], weight[:, None, None])
        left, right, weight = interpolation_taps(columns, value.shape[1], size[1], align_corners)
        return _mix(value[:, left], value[:, right], weight[None, :, None])

    return jax.vmap(one)(values.astype(jnp.float32), own)


def _mix(first, second, weight):
    return first * (1.0 - weight) + second * weight


def decide(values: jax.Array, own: jax.Array, canvas: tuple[int, int], align_corners: bool, *,
           confidence: str | None = None) -> tuple[jax.Array, jax.Array | None]:
    """The best class of every pixel at the images' own sizes.

    Args:
      values: float32 [B, h, w, C], logits or probabilities at the network's size.
      own: int32 [B, 2], own (H, W), at most the canvas.
      canvas: static (Hc, Wc).
      align_corners: the model's convention.
      confidence: None; 'logits' or 'probabilities', what `values` are, to get the best class's
        probability as well.

    Returns:
      (uint8 [B, Hc, Wc] class ids, float32 [B, Hc, Wc] probability of that class or None). Pixels of
      the canvas outside an image mean nothing.
    """
    height, width = canvas
    strips = -(-height // _STRIP)
    rows = jnp.arange(strips * _STRIP, dtype=jnp.int32).reshape(strips, _STRIP)

    def strip(rows):
        scores = resize_rows(values, own, rows, width, align_corners)
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
