"""From a teacher's map to a target: the label of each pixel and whether it is trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.models.resize import resize_bilinear
from s4mim_jax.parallel.collectives import Collectives
from s4mim_jax.parallel.order_statistic import kth_smallest, settled
from s4mim_jax.pseudo_labels.dynamic_threshold import partition_threshold
from s4mim_jax.pseudo_labels.refinement import margin, neighbor_union
from s4mim_jax.pseudo_labels.teacher import Maps

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Shaped


class Target(NamedTuple):
    """What a view is told, each [B, H, W].

    label: i32 class ids. kept: bool, trusted and valid. valid: bool, not padding.
    confidence: f32 in 0..1, the top probability. unrefined: bool, what the same filter would keep
    without the refinement; to watch, never used.
    """

    label: jax.Array
    kept: jax.Array
    valid: jax.Array
    confidence: jax.Array
    unrefined: jax.Array


def select(maps: Maps, valid: Bool[Array, 'B H W'], method, *, progress=0.0, align_corners: bool = False,
           collectives: Collectives = Collectives()) -> Target:
    """The selection slot: a fixed threshold (FixMatch) or S4MC's refined margin.

    The label is the argmax of the raw map always; `method.selection` says what keeps a pixel.

    threshold: 'confidence', top probability >= `tau` (FixMatch); 'margin', margin of the refined map
      >= `tau_margin` (ours: the refinement alone); 'partition', margin of the refined map > gamma_t,
      the alpha_t quantile of the *raw* margins, alpha_t from alpha to alpha_end in even steps (S4MC: to 0;
      its older script stops where 85 % are kept).
    refinement: 'none', 'union' or 'coherence', see `neighbor_union`.
    resolution: 'full', margins at the size of the image (released code); 'logits', at that of the decoder's
      output, resized bilinearly to be compared (ours, cheaper; it ranks pixels worse, docs/evidence.md).
    matched, controls (ours) that keep as many pixels as another filter would, the highest scores first:
      'unrefined', ranked by raw margin, as many as the refined margin keeps; 'single_scale', ranked
      by the ensemble's confidence, as many as the teacher at scale 1 keeps.

    Args:
      maps: what the teacher says.
      method: config.method. progress: t/T in 0..1, a number or traced.
      align_corners: convention of resizing, config.model's.
      collectives: sums counts over devices.

    Returns:
      Target without gradient.

    Raises:
      InputError: a rule that does not exist, or a table of another number of classes.
    """
    maps = jax.tree.map(jax.lax.stop_gradient, maps)
    label = jnp.argmax(maps.full, axis=-1).astype(jnp.int32)
    confidence = jnp.max(maps.full, axis=-1)
    rule = method.selection
    if rule.threshold == 'confidence':
        kept = unrefined = confidence >= method.tau
        if rule.matched == 'single_scale':
            as_many = valid & (jnp.max(maps.single, axis=-1) >= method.tau)
            kept = _highest(confidence, valid, as_many, collectives)
    else:
        kept, unrefined = _by_margin(maps, valid, rule, progress, align_corners, collectives)
    return Target(label, valid & kept, valid, confidence, valid & unrefined)


def _by_margin(maps, valid, rule, progress, align_corners, collectives):
    """S4MC: (kept by the refined margin, kept by the raw margin), bool [B, H, W].

    Args:
      maps: Maps, without gradient. valid: bool [B, H, W]. rule: config.method.selection.
      progress, align_corners, collectives: as in `select`.

    Raises:
      InputError: see `_table`, `neighbor_union` and `partition_threshold`.
    """
    probs = maps.coarse if rule.resolution == 'logits' else maps.full
    seen = nearest(valid, probs.shape[1:3])
    raw, refined = settled(margin(probs)), None  # its own quantile is its threshold
    if rule.refinement != 'none':
        table = _table(rule, probs.shape[-1]) if rule.refinement == 'coherence' else None
        refined = margin(neighbor_union(
            probs, valid=seen, window=rule.window, connectivity=rule.connectivity,
            neighbors=rule.neighbors, decay=rule.decay, coherence=table))
    if rule.threshold == 'margin':
        above = lambda score: score >= rule.tau_margin
    else:
        alpha = rule.alpha + (rule.alpha_end - rule.alpha) * progress
        gamma = partition_threshold(raw, seen, alpha, rule.scope, collectives)
        gamma = gamma.reshape(-1, 1, 1)
        above = lambda score: score > gamma
    full = lambda score: resize_bilinear(score[..., None], valid.shape[1:3], align_corners)[..., 0]
    unrefined = above(full(raw))
    if refined is None:
        return unrefined, unrefined
    if rule.matched == 'unrefined':
        as_many = valid & above(full(refined))
        return _highest(full(raw), valid, as_many, collectives), unrefined
    return above(full(refined)), unrefined


def _table(rule, num_classes):
    """`rule.coherence` as f32 [C]; InputError where it has not `num_classes` numbers (ours)."""
    if len(rule.coherence) != num_classes:
        raise InputError(f'--config.method.selection.coherence={tuple(rule.coherence)}: refinement=coherence needs '
                         f'{num_classes} numbers, one a class; the training command estimates them when it is ()')
    return jnp.asarray(rule.coherence, jnp.float32)


def _highest(score, valid, as_many, collectives):
    """The valid pixels of highest score, as many as `as_many` marks over all devices (more on ties); ours.

    Args:
      score: f32 [B, H, W], anything on invalid pixels. valid: bool, as_many: bool, a part of valid.

    Returns:
      bool [B, H, W]; outside `valid` it means nothing.
    """
    count = lambda mask: collectives.sum(jnp.sum(mask, dtype=jnp.int32))
    score = settled(score)
    rank = count(valid) - count(as_many)  # with nothing marked no rank, so NaN, so nothing is kept
    return score >= kth_smallest(score.reshape(-1), rank, valid=valid.reshape(-1), collectives=collectives)


def nearest(array: Shaped[Array, 'B H W'], size: tuple[int, int]) -> Shaped[Array, 'B h w']:
    """The value at the centre of each cell of a regular grid."""
    rows, columns = (((2 * np.arange(n) + 1) * m) // (2 * n) for n, m in zip(size, array.shape[1:3]))
    return array if tuple(size) == array.shape[1:3] else array[:, rows][:, :, columns]
