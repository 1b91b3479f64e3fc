"""The dynamic threshold: which share of the pixels is trusted at a time (S4MC, arXiv 2308.13900)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from s4mim_jax.config.errors import InputError
from s4mim_jax.parallel.collectives import Collectives
from s4mim_jax.parallel.order_statistic import kth_smallest

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float

SCOPES = ('global', 'image')


def partition_threshold(margins: Float[Array, '*shape'], valid: Bool[Array, '*shape'], alpha: float | Float[Array, ''],
                        scope: str = 'global',
                        collectives: Collectives | None = None) -> Float[Array, ''] | Float[Array, ' B']:
    """gamma: the `alpha` quantile of the valid margins, as a lower order statistic.

    S4MC's released code takes the quantile of the *raw* margins and keeps a pixel iff the margin of
    the *refined* map is above it, with alpha_t = alpha_0 (1 - t / T). Of n sorted margins this is the
    one at floor(alpha (n - 1)), so it is always one of them; the bisection is ours, see `kth_smallest`.
    The position is computed in float32: beyond 2^23 pixels it may be off by a few places.

    Args:
      margins: float32, of the raw map. Where not `valid` they may hold anything.
      alpha: share in 0..1.
      scope: 'global', one threshold over the whole batch; 'image', one for each image.
      collectives: sums the counts over devices (all-reduce of integers); needed for 'global' under
        shard_map only. An image lies on one device, so 'image' never communicates.

    Returns:
      a scalar for 'global', [B] for 'image'; 0 where no pixel is valid.

    Raises:
      InputError: unknown scope.
    """
    if scope not in SCOPES:
        raise InputError(f'scope {scope!r} of the dynamic threshold: valid are {", ".join(SCOPES)}')
    # Flat, because one long axis is counted twice as fast as three.
    shape = (-1,) if scope == 'global' else (margins.shape[0], -1)
    margins, valid = margins.reshape(shape), valid.reshape(shape)
    if scope == 'image' or collectives is None:
        collectives = Collectives()
    count = collectives.sum(jnp.sum(valid, axis=-1, dtype=jnp.int32))
    last = jnp.maximum(count - 1, 0)
    place = jnp.floor(jnp.asarray(alpha, jnp.float32) * last.astype(jnp.float32)).astype(jnp.int32)
    threshold = kth_smallest(margins, jnp.clip(place, 0, last), valid=valid, collectives=collectives)
    return jnp.where(count > 0, threshold, 0.0)
