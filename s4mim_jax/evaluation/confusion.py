"""Confusion matrices and the scores that are read off them."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from s4mim_jax.config.labels import IGNORE


def confusion_matrix(labels: jax.Array, predictions: jax.Array, num_classes: int,
                     ignore: int = IGNORE) -> jax.Array:
    """Counts pixels by (label, prediction), exactly.

    Args:
      labels: integers [...], class ids; `ignore` and whatever is outside 0 .. C - 1 is left out.
      predictions: integers, same shape; pixels with a prediction outside 0 .. C - 1 are left out.
      num_classes: C.
      ignore: label that is left out even if it is a class id.

    Returns:
      int32 [C, C], rows = labels, columns = predictions. At most 2^31 - 1 pixels a call.
    """
    labels, predictions = (jnp.asarray(x).astype(jnp.int32) for x in (labels, predictions))
    if labels.shape != predictions.shape:
        raise ValueError(f'labels {labels.shape} and predictions {predictions.shape} differ in shape')
    # Counted row by row of the leading axis, so that a batch spread over devices stays where it is.
    shape = (labels.shape[0], -1) if labels.ndim > 1 and labels.size else (1, labels.size)
    labels, predictions = labels.reshape(shape), predictions.reshape(shape)
    counted = ((labels != ignore) & (labels >= 0) & (labels < num_classes)
               & (predictions >= 0) & (predictions < num_classes))
    labels = jnp.where(counted, labels, num_classes)
    predictions = jnp.where(counted, predictions, 0)
    if labels.shape[1] >= 2**24:  # where float32 stops counting
        return _scattered(labels, predictions, num_classes)
    return jax.lax.platform_dependent(
        labels, predictions,
        tpu=lambda l, p: _multiplied(l, p, num_classes),
        default=lambda l, p: _scattered(l, p, num_classes))


def _scattered(labels, predictions, num_classes):
    """One integer addition a pixel. label = C goes to a bin that is cut off."""
    bins = labels * num_classes + predictions

    def count(row):
        return jnp.zeros(num_classes * (num_classes + 1), jnp.int32).at[row].add(1, mode='drop')

    counts = jnp.sum(jax.vmap(count)(bins), axis=0, dtype=jnp.int32)
    return counts.reshape(num_classes + 1, num_classes)[:-1]


def _multiplied(labels, predictions, num_classes):
    """The same as a product of one-hot matrices: a TPU scatters one element at a time.

    Exact: zeros and ones in bfloat16, sums of an image below 2^24 in float32, then integers.
    """
    rows = jax.nn.one_hot(labels, num_classes, dtype=jnp.bfloat16)  # label = C: all zero
    columns = jax.nn.one_hot(predictions, num_classes, dtype=jnp.bfloat16)
    counts = jnp.einsum('bni,bnj->bij', rows, columns, preferred_element_type=jnp.float32)
    return jnp.sum(counts.astype(jnp.int32), axis=0, dtype=jnp.int32)


def scores(confusion: np.ndarray, classes: Sequence[str]) -> dict:
    """IoU and pixel accuracy of a confusion matrix.

    IoU of a class = hits / (labelled + predicted - hits), over the pixels that were counted. A class
    that is neither labelled nor predicted is absent: None, and left out of the mean.

    Args:
      confusion: integers [C, C], rows = labels.
      classes: C names.

    Returns:
      {'miou': float, 'iou': {name: float or None}, 'pixel_accuracy': float}, as shares of one. With
      no counted pixel at all, miou and pixel_accuracy are None.
    """
    confusion = np.asarray(confusion, np.int64)
    if confusion.shape != (len(classes), len(classes)):
        raise ValueError(f'confusion {confusion.shape} does not fit {len(classes)} classes')
    hits = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hits
    values = [float(h / u) if u else None for h, u in zip(hits, union)]
    iou, present = dict(zip(classes, values)), [value for value in values if value is not None]
    total = int(confusion.sum())
    return {'miou': float(np.mean(present)) if present else None, 'iou': iou,
            'pixel_accuracy': float(hits.sum() / total) if total else None}
