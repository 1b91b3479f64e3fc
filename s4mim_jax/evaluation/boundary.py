"""Boundary IoU (Cheng et al. 2021, section 4): IoU of the pixels near a contour alone.

The region of a class is cut to what lies within a distance d of its contour, in the labels and in the predictions,
and the IoU is taken of these two bands. d is a share of the image's diagonal, 0.02 in the paper, at least one pixel,
measured as the paper's code does: d erosions with a 3x3 square, so the border of the image is a contour as well.
Ours: counts are summed over all images before the one division, as for mIoU, and an unlabelled pixel belongs to no
class in the predictions either, so both maps have the same contour along it.
"""

import jax
import jax.numpy as jnp

from s4mim_jax.evaluation.confusion import confusion_matrix

_OUTSIDE = -1  # no class: differs from every label and from the ignore label


def band(classes: jax.Array, own: jax.Array, radius: jax.Array) -> jax.Array:
    """Which pixels have another class, or the image's border, within `radius` of them.

    Exact and at a cost that does not depend on the radius, which is traced: contours are spread by running sums.

    Args:
      classes: int32 [B, H, W], a canvas with an image at its top left. own: int32 [B, 2], the image's (H, W).
      radius: int32 [B], at least 1, in the maximum norm (as many erosions with a 3x3 square).

    Returns:
      bool [B, H, W]; outside an image it means nothing.
    """
    return jax.vmap(_band)(classes, own, radius)


def _band(classes, own, radius):
    height, width = classes.shape
    inside = (jnp.arange(height)[:, None] < own[0]) & (jnp.arange(width)[None] < own[1])
    classes = jnp.pad(jnp.where(inside, classes, _OUTSIDE), 1, constant_values=_OUTSIDE)
    middle = classes[1:-1, 1:-1]
    contour = jnp.zeros(middle.shape, bool)
    for y in range(3):
        for x in range(3):
            contour |= classes[y:y + height, x:x + width] != middle
    # A pixel within radius - 1 of a contour pixel: one of another class would make it a contour pixel itself.
    return _spread(_spread(contour, radius - 1, 0), radius - 1, 1)


def _spread(marks, reach, axis):
    """Marks every place at most `reach` away along an axis from a marked one."""
    marks = jnp.moveaxis(marks, axis, 0)
    count = marks.shape[0]
    before = jnp.concatenate([jnp.zeros_like(marks[:1], jnp.int32), jnp.cumsum(marks, 0, dtype=jnp.int32)])
    place = jnp.arange(count, dtype=jnp.int32)
    number = before[jnp.minimum(place + reach, count - 1) + 1] - before[jnp.maximum(place - reach, 0)]
    return jnp.moveaxis(number > 0, 0, axis)


def boundary_confusion(labels: jax.Array, predictions: jax.Array, own: jax.Array, num_classes: int, share: float,
                       ignore: int) -> jax.Array:
    """Counts from which `confusion.scores` reads Boundary IoU.

    Args:
      labels: integers [B, H, W], `ignore` where nothing is counted. predictions: class ids [B, H, W].
      own: int32 [B, 2], own (H, W). num_classes: C. share: of the diagonal.

    Returns:
      int32 [C + 1, C + 1]: rows labels, columns predictions; the last class is "not in a band".
    """
    labels = labels.astype(jnp.int32)
    predictions = jnp.where(labels == ignore, ignore, predictions.astype(jnp.int32))
    diagonal = jnp.sqrt(jnp.sum(jnp.square(own.astype(jnp.float32)), axis=-1))
    radius = jnp.maximum(jnp.round(share * diagonal), 1).astype(jnp.int32)
    banded = [jnp.where(band(x, own, radius), x, num_classes) for x in (labels, predictions)]
    rows = jnp.where(labels == ignore, ignore, banded[0])  # what is not labelled stays out in any case
    return confusion_matrix(rows, banded[1], num_classes + 1, ignore)
