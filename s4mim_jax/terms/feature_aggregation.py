"""L_agg: hidden parts of a class move towards its visible parts in feature space (S4MIM, arXiv 2411.08756).

Our reading: encoder features of the masked pass, normalised to length 1; the visible prototype is the
mean over the visible positions of a class in its image, without gradient; squared distance of the
hidden positions, mean a class, then mean over classes. A position is hidden when most of its pixels are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from s4mim_jax.config.key import Key
from s4mim_jax.terms.class_wise_mim import copies, members, ramped
from s4mim_jax.terms.ratio import Ratio

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Int32

BY_CLASS = True


def needs(method) -> tuple[str, ...]:
    """The masked copies of `method.mim.views`; their whole views too if those give the prototypes (ours)."""
    rows = copies(method)
    whole = tuple(row.base for row in rows) if method.mim.prototype_from == 'unmasked' else ()
    return tuple(row.name for row in rows) + whole


def defaults() -> dict[str, Key]:
    """Its keys in config.method."""
    return {
        'mim.aggregation': Key('position', 'what is drawn to the visible prototype', choices=('position', 'prototype')),
        'mim.prototype_from': Key('masked', 'the pass that gives it', choices=('masked', 'unmasked')),
    }


def loss(forward) -> list[Ratio]:
    """One Ratio of vectors [C] a view; unlabelled views grow in over the first steps (`method.mim.ramp`)."""
    mim, ratios = forward.method.mim, []
    for row in copies(forward.method):
        copy, features = forward.masked[row.name], forward.features[row.name]
        source = forward.features[row.base] if mim.prototype_from == 'unmasked' else features
        ratio = distance_to_visible(
            features, source, forward.grid.at_centres(copy.class_region), forward.grid.largely(copy.visible),
            forward.logits[row.name].shape[-1], mim.aggregation)
        ratios.append(ramped(ratio, row, forward))
    return ratios


def distance_to_visible(features: Float[Array, 'B h w D'], source: Float[Array, 'B h w D'], gate: Int32[Array, 'B h w'],
                        visible: Bool[Array, 'B h w'], num_classes: int, what: str = 'position') -> Ratio:
    """Squared distance of what is hidden to the visible prototype of its class and image.

    Args:
      features: of the masked pass. source: whose visible positions make the prototypes. gate: classes or 255.
      what: 'position', every hidden position; 'prototype', the mean of the hidden positions.

    Returns:
      Ratio of vectors [C], counting positions or (image, class) pairs that have both sides.
    """
    features, source = unit(features), jax.lax.stop_gradient(unit(source))
    shown, hidden = (members(gate, mark, num_classes).astype(jnp.float32) for mark in (visible, ~visible))
    prototype, shown_count = segment_mean(source, shown)
    own, hidden_count = segment_mean(features, hidden)
    both = (shown_count > 0) & (hidden_count > 0)  # [B, C]
    if what == 'prototype':
        distance = jnp.sum(jnp.square(own - prototype), axis=-1)
        return Ratio(jnp.sum(jnp.where(both, distance, 0.0), 0), jnp.sum(both, 0, dtype=jnp.int32))
    wanted = jnp.einsum('bhwc,bcd->bhwd', hidden, prototype)  # each hidden position's prototype
    distance = jnp.sum(jnp.square(features - wanted), axis=-1)
    counted = hidden * both[:, None, None]
    return Ratio(jnp.einsum('bhw,bhwc->c', distance, counted), jnp.sum(counted, (0, 1, 2)).astype(jnp.int32))


def unit(features: Float[Array, '*shape D']) -> Float[Array, '*shape D']:
    """float32 of length 1, of any float dtype; zero stays zero, with a finite gradient (ours)."""
    features = features.astype(jnp.float32)
    return features * jax.lax.rsqrt(jnp.sum(jnp.square(features), axis=-1, keepdims=True) + 1e-12)


def segment_mean(features: Float[Array, 'B h w D'],
                 membership: Float[Array, 'B h w C']) -> tuple[Float[Array, 'B C D'], Float[Array, 'B C']]:
    """Means by class and image, 0 for a class without members (ours).

    Args:
      features: f32 [B, h, w, D]. membership: f32 [B, h, w, C] of 0 and 1.

    Returns:
      (means f32 [B, C, D], counts f32 [B, C]).
    """
    count = jnp.sum(membership, (1, 2))
    total = jnp.einsum('bhwc,bhwd->bcd', membership, features)
    return total / jnp.maximum(count, 1.0)[..., None], count
