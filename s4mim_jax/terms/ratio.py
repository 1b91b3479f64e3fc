"""Sums and counts: what losses and metrics are until a number is printed."""

from typing import NamedTuple

import jax


class Ratio(NamedTuple):
    """A mean that is not divided yet: `total` f32 (differentiable in a loss), `count` int32.

    A term's are sums over the examples that this device sees, the step's metrics over the global batch. Vectors stand
    for a mean of means (one entry a class, say): entries with no count anywhere are left out.
    """

    total: jax.Array
    count: jax.Array
