"""Reductions over the whole batch, the same call in both partitions.

Under `jit` arrays are global, so a plain sum already covers every device. Under `shard_map` each
device holds its shard and the sum needs a `lax.psum`. Code of the step calls this module and
does not know which of the two it runs under.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Collectives(NamedTuple):
    """`axes`: mesh axes to reduce over under shard_map; None under jit or on one device.

    `shards`: into how many equal blocks the leading axis of a *visible* array is laid out over
    devices: all of them under jit, 1 under shard_map (a device sees only its own block).
    """

    axes: tuple[str, ...] | None = None
    shards: int = 1

    def sum(self, tree):
        """Sum over devices of every leaf; nothing under jit."""
        return tree if self.axes is None else lax.psum(tree, self.axes)

    def join(self, arrays: list[jax.Array]) -> jax.Array:
        """Concatenates batches along axis 0 without moving data between devices.

        A plain concatenation of sharded batches would send most examples to another device. Here
        every device's blocks are joined in place: [b1, ...], [b2, ...] -> [b1 + b2, ...] whose
        order is device by device. `split` undoes it.
        """
        if len(arrays) == 1:
            return arrays[0]
        if self.shards == 1:
            return jnp.concatenate(arrays)
        blocks = [a.reshape(self.shards, -1, *a.shape[1:]) for a in arrays]
        joined = jnp.concatenate(blocks, axis=1)
        return joined.reshape(-1, *joined.shape[2:])

    def split(self, array: jax.Array, sizes: list[int]) -> list[jax.Array]:
        """The inverse of `join`: `sizes` are the (visible) batch sizes that were joined."""
        if len(sizes) == 1:
            return [array]
        blocks = array.reshape(self.shards, -1, *array.shape[1:])
        parts, start = [], 0
        for size in sizes:
            width = size // self.shards
            part = blocks[:, start:start + width]
            parts.append(part.reshape(size, *array.shape[1:]))
            start += width
        return parts

    def swap_pairs(self, array: jax.Array) -> jax.Array:
        """Example 2i <-> example 2i + 1 of the global batch; a last odd one stays itself.

        The partner of CutMix inside a batch. UniMatch V2 reverses the batch, which pairs examples
        just as well but sends every one of them to another device; pairs of neighbours stay where
        they are whenever a device holds an even number.
        """
        size = array.shape[0]
        if self.axes is not None and size % 2 and lax.axis_size(self.axes) > 1:
            # Pairs straddle devices: look at the whole batch and keep one's own rows.
            whole = Collectives().swap_pairs(lax.all_gather(array, self.axes, tiled=True))
            return lax.dynamic_slice_in_dim(whole, lax.axis_index(self.axes) * size, size)
        if size % 2 == 0:
            return array.reshape(size // 2, 2, *array.shape[1:])[:, ::-1].reshape(array.shape)
        return array[jnp.minimum(jnp.arange(size) ^ 1, size - 1)]
