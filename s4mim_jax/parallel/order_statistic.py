"""An exact order statistic of values that are spread over devices."""

import jax
import jax.numpy as jnp
from jax import lax

from s4mim_jax.parallel.collectives import Collectives

_LARGEST = 0x7FFFFFFF  # never below a trial, so never counted
_SIGN = 0x80000000


def settled(values):
    """The same arrays, computed once for all their uses: what is compared with a threshold that was taken from them.

    A compiler may compute a value again in each place that it fuses it into, and round it in another way there.
    Then the value that became the threshold is below itself, and with it all values that were equal to it.
    """
    return lax.optimization_barrier(values)


def kth_smallest(values: jax.Array, rank: jax.Array, *, valid: jax.Array | None = None,
                 collectives: Collectives = Collectives()) -> jax.Array:
    """The value with exactly `rank` others before it in ascending order, along the last axis (ours).

    Bisection over the 32 bits of the answer, the highest first: each bit needs one integer count of
    the values below a trial. A sort would gather the values of all devices; counts only need an
    all-reduce, and integers add up to the same number in any order. The result is one of the values.

    Args:
      values: f32 [..., N], of any sign; `settled` by a caller that compares them with the result.
      rank: i32 [...], 0-based, below the number of valid values (over all devices); otherwise the
        result is NaN.
      valid: bool [..., N], or None for all.
      collectives: where counts are summed; pass it only if the N values are spread over devices.

    Returns:
      f32 [...].
    """
    keys = _ascending_keys(lax.stop_gradient(values).astype(jnp.float32))
    if valid is not None:
        keys = jnp.where(valid, keys, jnp.int32(_LARGEST))

    def settle(i, found):
        trial = found | (jnp.uint32(1) << (31 - i).astype(jnp.uint32))
        below = jnp.sum(keys < _signed(trial)[..., None], axis=-1, dtype=jnp.int32)
        return jnp.where(collectives.sum(below) <= rank, trial, found)

    nothing = (rank * 0).astype(jnp.uint32)  # as `rank`, varying over devices or not, for shard_map
    return _value(_signed(lax.fori_loop(0, 32, settle, nothing)))


def _ascending_keys(values):
    """f32 -> int32 in the same order: the bits, with the order of negative numbers turned round.

    Signed, because processors compare signed integers faster.
    """
    bits = lax.bitcast_convert_type(values, jnp.int32)
    return jnp.where(bits < 0, bits ^ _LARGEST, bits)


def _value(keys):
    """The inverse of `_ascending_keys`, which is its own inverse on the bits."""
    return lax.bitcast_convert_type(jnp.where(keys < 0, keys ^ _LARGEST, keys), jnp.float32)


def _signed(unsigned):
    """uint32 -> int32 in the same order."""
    return lax.bitcast_convert_type(unsigned ^ jnp.uint32(_SIGN), jnp.int32)
