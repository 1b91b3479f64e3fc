"""The randomness of a step, as named streams.

A key is the constant root (the seed) folded by a stream's name, the step and the example's global
index. Nothing has to be stored in a checkpoint, adding a stream changes no other, and an example
draws the same numbers on whatever device it lands.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

if TYPE_CHECKING:
    from jaxtyping import Array, Int32, Key, PRNGKeyArray


def stream(seed, name: str, step) -> PRNGKeyArray:
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

    def keys(self, name: str, index: Int32[Array, ' B']) -> Key[Array, ' B']:
        """One key per example of a named stream, of the global example index."""
        key = stream(self.seed, name, self.step)
        return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
