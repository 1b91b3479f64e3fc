"""L_sim: the full and the masked branch must agree (MaskSup, arXiv 2210.00923).

Binary, the paper has the mean squared difference of two sigmoid maps, with gradient into both
branches. The released multi-class code compares two argmax maps, which has no gradient; the mean
squared difference of two softmax maps is ours. With two classes it is the binary form exactly: the
softmax of two logits is the sigmoid of their difference, and both classes differ by the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from s4mim_jax.config.key import Key
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.terms.ratio import Ratio

if TYPE_CHECKING:
    from jaxtyping import Array, Float


def needs(method) -> tuple[str, ...]:
    """The labelled view, whole and masked; the weak view too with `method.similarity_unlabeled` (ours)."""
    return ('x', 'x_masked') + (('w', 'w_masked') if method.similarity_unlabeled else ())


def defaults() -> dict[str, Key]:
    """Its keys in config.method."""
    return {
        'similarity_loss': Key('mse', 'mse: both branches learn; kl: the full branch is fixed', choices=('mse', 'kl')),
        'similarity_unlabeled': Key(False, 'also between w and its masked copy'),
    }


def loss(forward) -> list[Ratio]:
    """Mean over the labelled pixels; with `similarity_unlabeled` averaged with that over `w`'s valid ones.

    One Ratio of scalars a pair of outputs.
    """
    divergence = {'mse': squared_difference, 'kl': relative_entropy}[forward.method.similarity_loss]
    pairs = [('x', forward.label != IGNORE)]
    if forward.method.similarity_unlabeled:
        pairs.append(('w', forward.targets['w'].valid))
    return [Ratio(jnp.sum(divergence(forward.logits[view], forward.logits[f'{view}_masked']) * valid),
                  jnp.sum(valid, dtype=jnp.int32)) for view, valid in pairs]


def squared_difference(full: Float[Array, '*shape C'], masked: Float[Array, '*shape C']) -> Float[Array, '*shape']:
    """Mean over classes of the squared difference of softmax maps (ours)."""
    return jnp.mean(jnp.square(jax.nn.softmax(full) - jax.nn.softmax(masked)), axis=-1)


def relative_entropy(full: Float[Array, '*shape C'], masked: Float[Array, '*shape C']) -> Float[Array, '*shape']:
    """KL(full || masked) with the full branch fixed (ours)."""
    fixed = jax.nn.log_softmax(jax.lax.stop_gradient(full))
    return jnp.sum(jnp.exp(fixed) * (fixed - jax.nn.log_softmax(masked)), axis=-1)
