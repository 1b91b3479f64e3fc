"""Pixel-wise cross-entropy as sums and counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from s4mim_jax.config.labels import IGNORE
from s4mim_jax.terms.ratio import Ratio

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Integer

    from s4mim_jax.pseudo_labels import Target


def pixel_cross_entropy(logits: Float[Array, '*shape C'], label: Integer[Array, '*shape']) -> Float[Array, '*shape']:
    """-log softmax(logits)[label], 0 where the label is 255.

    label: class ids or 255. logits: float32.
    """
    # A one-hot product instead of a gather: its gradient is no scatter and XLA fuses it.
    one_hot = jax.nn.one_hot(label, logits.shape[-1], dtype=logits.dtype)
    picked = jnp.sum(logits * one_hot, axis=-1)
    return jnp.where(label == IGNORE, 0.0, jax.nn.logsumexp(logits, axis=-1) - picked)


def class_weighted(pixels: Float[Array, '*shape'], label: Integer[Array, '*shape'],
                   weights: tuple[float, ...]) -> Float[Array, '*shape']:
    """Each pixel's loss times the weight of its class; 0 where the label is 255.

    Args:
      pixels: float32, cross-entropy. label: class ids or 255. weights: C numbers.

    Returns:
      a sum's part; what the sum is divided by is the caller's (see `labeled_cross_entropy`).
    """
    one_hot = jax.nn.one_hot(label, len(weights), dtype=pixels.dtype)
    return pixels * jnp.sum(one_hot * jnp.asarray(weights, pixels.dtype), axis=-1)


def filtered_cross_entropy(logits: Float[Array, 'B H W C'], target: Target) -> Ratio:
    """Cross-entropy of the kept pixels over the number of *valid* pixels.

    Dividing by the valid pixels, not by the kept ones, is what UniMatch's released code does: few
    confident pixels give a small loss.

    target: pseudo_labels.Target, of which label, kept and valid are read.
    """
    loss = pixel_cross_entropy(logits, jnp.where(target.valid, target.label, IGNORE))
    return Ratio(jnp.sum(loss * target.kept), jnp.sum(target.valid, dtype=jnp.int32))


def pseudo_label_loss(forward, logits: Float[Array, 'B H W C'], target: Target) -> Ratio:
    """Cross-entropy of the kept pixels against pseudo-labels, divided as `method.selection.normalizer` says.

    valid: by the valid pixels, see `filtered_cross_entropy` (UniMatch, and S4MC's later code). kept: by the kept ones.
    kept_squared: the mean over the kept ones times valid / kept, as in S4MC's 2023 code, whose filter keeps few pixels
    at first: what they weigh together then grows and does not shrink with what is left out.

    Args:
      forward: reads method and, for kept_squared, collectives. logits, target: as in `filtered_cross_entropy`.
    """
    normalizer = forward.method.selection.normalizer
    if normalizer == 'valid':
        return filtered_cross_entropy(logits, target)
    total, valid = filtered_cross_entropy(logits, target)
    kept = jnp.sum(target.kept, dtype=jnp.int32)
    if normalizer == 'kept_squared':
        everywhere = forward.collectives.sum((valid, kept))  # the share of the whole batch, not of a device's
        total = total * (everywhere[0] / jnp.maximum(everywhere[1], 1))
    return Ratio(total, kept)
