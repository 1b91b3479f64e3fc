"""Refinement of a teacher's map by its neighbours (S4MC, arXiv 2308.13900), for the filter only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from s4mim_jax.config.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float


def margin(probs: Float[Array, '*shape C']) -> Float[Array, '*shape']:
    """S4MC's confidence: the largest minus the second largest score, without gradient.

    By two maxima; a top-k or a sort costs many times more. Only one of equal largest scores is set
    aside for the second, so that their margin is 0. The scores need not sum to one.

    Args:
      probs: float [..., C], C >= 2.

    Returns:
      f32 [...], at least 0.
    """
    classes = probs.shape[-1]
    if classes < 2:
        raise ValueError(f'a margin needs two classes or more, the scores have shape {probs.shape}')
    probs = jax.lax.stop_gradient(probs).astype(jnp.float32)
    # A single reduction that carries both maxima is faster alone, but slow once XLA fuses a union into it.
    others = jnp.arange(classes) != jnp.argmax(probs, axis=-1)[..., None]
    return jnp.max(probs, axis=-1) - jnp.max(jnp.where(others, probs, -jnp.inf), axis=-1)


def neighbor_union(probs: Float[Array, 'B H W C'], *, valid: Bool[Array, 'B H W'] | None = None, window: int = 3,
                   connectivity: int = 8, neighbors: int = 1, decay: float | None = None,
                   coherence: Float[Array, ' C'] | None = None) -> Float[Array, 'B H W C']:
    """The probability that a pixel *or* a neighbour has a class, every class for itself.

    Folds the strongest neighbours into the pixel's own score p, one after the other:

        u <- u + b_z (q - joint),    joint = u q             union (S4MC, released code)
                                     joint = u max(q, E_c)   coherence (S4MC's 2023 code)

    where q = p_c(z) is the neighbour's score and b_z its weight. Neighbours are ordered by b_z q,
    strongest first (ours where weights differ). A neighbour outside the map or on an invalid pixel
    counts as q = 0, which changes nothing in a union. No renormalisation: u does not sum to one.
    One pass. The label stays the argmax of the raw map.

    Args:
      probs: float [B, H, W, C], softmax.
      valid: bool [B, H, W], pixels that may lend support; None = all.
      window: odd side of the neighbourhood.
      connectivity: 8, the whole window; 4, the diamond in it, see `neighborhood`.
      neighbors: k, how many are folded in.
      decay: rate r of the weight b = exp(-r d) of a neighbour at Manhattan distance d: our reading,
        the released code has exp(-1/2) for every neighbour. None = weight 1.
      coherence: f32 [C], E_c, see `coherence_table`; None = union.

    Returns:
      float32 [B, H, W, C] in 0..1.

    Raises:
      InputError: a window, connectivity or number of neighbours that does not exist.
    """
    offsets = neighborhood(window, connectivity)
    if not 1 <= neighbors <= len(offsets):
        raise InputError(f'neighbors {neighbors}: a window of {window} with connectivity {connectivity} '
                         f'has 1 to {len(offsets)}')
    probs = probs.astype(jnp.float32)
    lent = probs if valid is None else jnp.where(valid[..., None], probs, 0.0)
    # Without a table, b enters only as b q; with one, the b of each chosen neighbour is needed too.
    needs_weights = coherence is not None and decay is not None
    union = probs
    for support, weight in _strongest(lent, offsets, neighbors, decay, needs_weights):
        joint = union * (support if coherence is None else jnp.maximum(support, weight * coherence))
        union = union + support - joint
    return union


def neighborhood(window: int, connectivity: int) -> tuple[tuple[int, int], ...]:
    """Offsets (dy, dx) of a pixel's neighbours, row by row, without the pixel itself.

    Args:
      window: odd side, from 3 on; S4MC has 3, larger ones are ours.
      connectivity: 8, all of the window; 4, the diamond of Manhattan distance <= window // 2 (ours; in
        a window of 3 the four direct neighbours, of 5 twelve).

    Raises:
      InputError: a window or connectivity that does not exist.
    """
    if window < 3 or window % 2 == 0:
        raise InputError(f'window {window} of the neighbourhood: an odd number from 3 on')
    if connectivity not in (4, 8):
        raise InputError(f'connectivity {connectivity} of the neighbourhood: 4 or 8')
    reach = window // 2
    span = range(-reach, reach + 1)
    return tuple((dy, dx) for dy in span for dx in span
                 if (dy or dx) and (connectivity == 8 or abs(dy) + abs(dx) <= reach))


def _strongest(probs, offsets, count, decay, needs_weights):
    """The largest b q of each pixel and class, strongest first (ours: the order, where weights differ).

    A running insertion over shifted views: nothing of the size of the whole neighbourhood exists.

    Args:
      probs: f32 [B, H, W, C], 0 where a pixel may lend nothing.
      offsets: of `neighborhood`. count: how many to find, at most as many as offsets.
      decay: as in `neighbor_union`. needs_weights: whether the b of each is needed too.

    Returns:
      `count` pairs (b q, b): f32 [B, H, W, C], and f32 of that shape or a number; b is 1.0 if not needed.
    """
    height, width = probs.shape[1:3]
    reach = max(abs(dy) for dy, _ in offsets)
    padded = jnp.pad(probs, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    best: list = []
    for dy, dx in offsets:
        weight = 1.0 if decay is None else math.exp(-decay * (abs(dy) + abs(dx)))
        support = weight * padded[:, reach + dy:reach + dy + height, reach + dx:reach + dx + width]
        carried = weight if needs_weights else 1.0
        for place, (held, held_weight) in enumerate(best):
            if needs_weights:
                ahead = support > held
                best[place] = jnp.maximum(support, held), jnp.where(ahead, carried, held_weight)
                carried = jnp.where(ahead, held_weight, carried)
            else:
                best[place] = jnp.maximum(support, held), 1.0
            support = jnp.minimum(support, held)
        if len(best) < count:
            best.append((support, carried))
    return best
