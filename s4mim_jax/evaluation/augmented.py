"""Multi-scale and flip: the softmax averaged over scaled and mirrored copies of an image.

The mean of probabilities over scaled and mirrored copies, as the field's "multi-scale and flip" does. A scaled copy
has the nearest size that the network takes, and its probabilities are resized to the image's own grid of scale 1
before the mean. Everything else (windows, strides) stays in pixels, except `center_crop`, whose window is scaled
with the image, so that each copy shows the same part of it.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from s4mim_jax.config.encoder_sizes import nearest_multiple
from s4mim_jax.models.resize import resize_bilinear


def mean_over_copies(predict: Callable, images: jax.Array, scales: Sequence[float], flip: bool, multiple: int,
                    align_corners: bool) -> jax.Array:
    """Mean probabilities over scales and mirror images.

    Args:
      predict: (images [B, h', w', channels] in 0..255, scale) -> probabilities float32 [B, h', w', C].
      images: uint8 [B, h, w, channels], at scale 1. scales: positive. flip: mirrored copies too.
      multiple: scaled sizes are rounded to it. align_corners: the model's convention of resizing.

    Returns:
      float32 [B, h, w, C].
    """
    size = images.shape[1:3]
    total = 0.0
    for scale in scales:
        scaled = scaled_size(size, scale, multiple)
        # resize_bilinear leaves an axis of the right length as it is: scale 1 sees the very pixels.
        copy = resize_bilinear(images, scaled, align_corners)
        seen = predict(copy, scale)
        if flip:
            seen = (seen + predict(copy[:, :, ::-1], scale)[:, :, ::-1]) / 2
        total += resize_bilinear(seen, size, align_corners)
    return jnp.asarray(total) / len(scales)


def scaled_size(size: tuple[int, int], scale: float, multiple: int) -> tuple[int, int]:
    """(h, w) times `scale`, rounded to the nearest multiple, at least one; scale 1 changes nothing."""
    return size if scale == 1.0 else tuple(nearest_multiple(round(n * scale), multiple) for n in size)
