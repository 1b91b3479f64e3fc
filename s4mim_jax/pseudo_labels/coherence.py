"""The class table of S4MC's `coherence` refinement, from label maps on the host."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from s4mim_jax.pseudo_labels.refinement import neighborhood

if TYPE_CHECKING:
    from jaxtyping import Float, Integer


def coherence_table(labels: Iterable[Integer[np.ndarray, 'H W']], num_classes: int, *,
                    window: int = 3, connectivity: int = 8, ignore: int = 255) -> Float[np.ndarray, ' C']:
    """E_c: how often the neighbour of a pixel of class c is of class c too.

    The released code has such tables typed in for two datasets, without saying where they come from;
    this estimate is ours: the share of same-class pairs among all pairs (pixel, neighbour) whose pixel
    has class c and whose neighbour is labelled. A class without pairs gets the share of all classes
    together; without any pair the table is 0, and the refinement is the plain union.

    Args:
      labels: label maps, each int [H, W] (sizes may differ), at the resolution of the refined map.
      num_classes: C. window, connectivity: as in `neighbor_union`. ignore: the label of unlabelled pixels.

    Returns:
      f32 [C] in 0..1.

    Raises:
      InputError: a window or connectivity that does not exist.
    """
    same, pairs = np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
    reach = window // 2
    offsets = neighborhood(window, connectivity)
    for label in labels:
        label = np.asarray(label).astype(np.int64)
        height, width = label.shape
        padded = np.pad(label, reach, constant_values=ignore)
        for dy, dx in offsets:
            other = padded[reach + dy:reach + dy + height, reach + dx:reach + dx + width]
            paired = (label != ignore) & (other != ignore)
            pairs += np.bincount(label[paired], minlength=num_classes)
            same += np.bincount(label[paired & (label == other)], minlength=num_classes)
    pooled = same.sum() / max(pairs.sum(), 1)
    return np.where(pairs > 0, same / np.maximum(pairs, 1), pooled).astype(np.float32)
