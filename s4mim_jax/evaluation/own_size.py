"""From the network's size back to each image's own size, in one program for all sizes.

Own sizes are traced; only the canvas that holds the result is static. Rows are worked off in
strips, so that the scores of all classes at full size never exist at once: a photograph of 12
megapixels with 21 classes would need a gigabyte.
"""

import jax
import jax.numpy as jnp

_STRIP = 64  # rows at a time
LONGEST = 2 ** 22  # of a side in pixels, exclusive: up to here positions are exact


def interpolation_taps(index: jax.Array, source: int, target: jax.Array, align_corners: bool):
    """Where output pixels of a bilinear resize read; the sizes enter in exact integer arithmetic.

    Args:
      index: int32 [n], output pixels; those >= target give something finite.
      source: input length. target: int32 [], traced output length; both below LONGEST. 0, of rows that
        fill up a batch, gives something finite as well.
      align_corners: as in `models.resize.resize_bilinear`, which this equals.

    Returns:
      (int32 [n] first tap, int32 [n] second tap, float32 [n] weight of the second).
    """
    index, target = jnp.asarray(index, jnp.int32), jnp.asarray(target, jnp.int32)
    if align_corners:
        denominator = jnp.maximum(target - 1, 1)
        low, rest = _product_over(index, source - 1, denominator)
    else:  # ((2 i + 1) * source - target) / (2 * target), and 0 where that is negative
        denominator = jnp.maximum(2 * target, 1)
        low, rest = _product_over(2 * index + 1, source, denominator)
        low, rest = jnp.where(rest >= target, low, low - 1), jnp.where(rest >= target, rest - target, rest + target)
        low, rest = jnp.maximum(low, 0), jnp.where(low < 0, 0, rest)
    weight = rest.astype(jnp.float32) / denominator.astype(jnp.float32)
    low = jnp.minimum(low, source - 1)
    return low, jnp.minimum(low + 1, source - 1), weight


def _product_over(index: jax.Array, factor: int, denominator: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Quotient and rest of index * factor / denominator, exact although the product may not fit 32 bits.

    Written division, eight bits of the index at a time: what is held stays below 2^9 * denominator.
    """
    denominator = denominator.astype(jnp.uint32)
    whole, factor = jnp.uint32(factor) // denominator, jnp.uint32(factor) % denominator
    index = index.astype(jnp.uint32)
    quotient, rest = jnp.zeros_like(index), jnp.zeros_like(index)
    for shift in (16, 8, 0):
        held = (rest << 8) + (index >> shift & 255) * factor
        quotient, rest = (quotient << 8) + held // denominator, held % denominator
    return (quotient + whole * index).astype(jnp.int32), rest.astype(jnp.int32)


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
    return _resize_rows(values.astype(jnp.float32), own, rows, _columns(values, own, width, align_corners),
                        align_corners)


def _columns(values, own, width, align_corners):
    """Taps of the columns, [B, width] each."""
    columns = jnp.arange(width, dtype=jnp.int32)
    return jax.vmap(lambda size: interpolation_taps(columns, values.shape[2], size[1], align_corners))(own)


def _resize_rows(values, own, rows, columns, align_corners):
    def one(value, size, columns):
        top, bottom, weight = interpolation_taps(rows, value.shape[0], size[0], align_corners)
        value = _mix(value[top], value[bottom], weight[:, None, None])
        left, right, weight = columns
        return _mix(value[:, left], value[:, right], weight[None, :, None])

    return jax.vmap(one)(values, own, columns)


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

    taps = _columns(values, own, width, align_corners)  # the same for every strip

    def strip(rows):
        scores = _resize_rows(values.astype(jnp.float32), own, rows, taps, align_corners)
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
