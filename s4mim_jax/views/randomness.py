"""The randomness of a step, as named streams.

A key is the constant root (the seed) folded by a stream's name, the step and the example's global
index. Nothing has to be stored in a checkpoint, adding a stream changes no other, and an example
draws the same numbers on whatever device it lands.
"""

import zlib
from typing import NamedTuple

import jax
import jax.numpy as jnp


def stream(seed, name: str, step) -> jax.Array:
    """Key of a named stream at a step; seed and step are Python or traced integers."""
    root = jax.random.key(jnp.asarray(seed, jnp.uint32))
    key = jax.random.fold_in(root, zlib.crc32(name.encode()))
    return jax.random.fold_in(key, step)


class StepRandomness(NamedTuple):
    """All randomness of one step: seed and step (updates completed), Python or traced integers.

    The seed is a value of the compiled step, not a part of it: runs of several seeds share a program.
    """

    seed: jax.Array
    step: jax.Array

    def keys(self, name: str, index: jax.Array) -> jax.Array:
        """One key per example of a named stream: index i32 [B] (global example index) -> keys [B]."""
        key = stream(self.seed, name, self.step)
        return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
