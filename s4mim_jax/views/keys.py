"""Randomness as a table of names.

A key is the constant root (the seed) folded by a stream's name, the step and the example's global
index. Nothing has to be stored in a checkpoint, adding a stream changes no other, and an example
draws the same numbers on whatever device it lands.
"""

import zlib

import jax


def stream(seed: int, name: str, step) -> jax.Array:
    """Key of a named stream at a step (a traced or Python integer)."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))
    return jax.random.fold_in(key, step)


def example_keys(seed: int, name: str, step, index: jax.Array) -> jax.Array:
    """One key per example: index i32 [B] (global example index) -> keys [B]."""
    key = stream(seed, name, step)
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
