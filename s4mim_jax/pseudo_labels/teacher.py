"""The teacher as an exponential moving average of the student."""

import jax
import jax.numpy as jnp


def decay_at(step, decay: float) -> jax.Array:
    """min(1 - 1/(t+1), decay): the average starts as a copy (UniMatch V2's released code).

    Args:
      step: integer, updates completed before this one.

    Returns:
      f32 scalar.
    """
    return jnp.minimum(1.0 - 1.0 / (jnp.asarray(step, jnp.float32) + 1.0), decay)


def blend(average, new, decay) -> object:
    """decay * average + (1 - decay) * new for float leaves; other leaves are copied from `new`.

    Averaging an integer buffer would corrupt it silently.
    """
    def leaf(a, n):
        if not jnp.issubdtype(n.dtype, jnp.floating):
            return n
        return (decay * a.astype(jnp.float32) + (1.0 - decay) * n.astype(jnp.float32)).astype(a.dtype)

    return jax.tree.map(leaf, average, new)
