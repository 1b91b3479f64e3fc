"""From a teacher's map to a target: the label of each pixel and whether it is trusted."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Target(NamedTuple):
    """What a view is told, each [B, H, W].

    label: i32 class ids. kept: bool, trusted and valid. valid: bool, not padding.
    confidence: f32 in 0..1, the top probability.
    """

    label: jax.Array
    kept: jax.Array
    valid: jax.Array
    confidence: jax.Array


def select(probs: jax.Array, valid: jax.Array, method) -> Target:
    """Fixed threshold (FixMatch): keep a pixel iff its top probability is at least `tau`.

    Args:
      probs: f32 [B, H, W, C], softmax. valid: bool [B, H, W].
      method: config.method, reads `tau`.

    Returns:
      Target without gradient.
    """
    probs = jax.lax.stop_gradient(probs)
    confidence = jnp.max(probs, axis=-1)
    label = jnp.argmax(probs, axis=-1).astype(jnp.int32)
    return Target(label, valid & (confidence >= method.tau), valid, confidence)
