"""Refinement of a teacher's map by its neighbours (S4MC, arXiv 2308.13900), for the filter only."""

import math
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from s4mim_jax.errors import InputError


def margin(probs: jax.Array) -> jax.Array:
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


def neighbor_union(probs: jax.Array, *, valid: jax.Array | None = None, window: int = 3,
                   connectivity: int = 8, neighbors: int = 1, decay: float | None = None,
                   coherence: jax.Array | None = None) -> jax.Array:
    """The probability that a pixel *or* a neighbour has a class, every class for itself.

    Folds the strongest neighbours into the pixel's own score p, one after the other:

        u <- u + b_z (q - joint),    joint = u q             union (S4MC, released code)
                                     joint = u max(q, E_c)   coherence (S4MC's 2023 code)

    where q = p_c(z) is the neighbour's score and b_z its weight. Neighbours are ordered by b_z q,
    strongest first (ours where weights differ). A neighbour outside the map or on an invalid pixel
    counts as q = 0, which changes nothing in a union. No renormalisation: u does not sum to one.
    One pass. The label stays the argmax of the raw map.

    Args:
      probs: float [B, H, W, C], softmax. At logit resolution neighbours carry information; after
        upsampling they nearly repeat the pixel.
      valid: bool [B, H, W], pixels that may lend support; None = all.
      window: odd side of the neighbourhood.
      connectivity: 8, the whole window; 4, the pixels within window // 2 steps along rows and
        columns (in a window of 3 the direct neighbours).
      neighbors: k, how many are folded in.
      decay: rate r of the weight b = exp(-r d) of a neighbour at Manhattan distance d (the released
        code has exp(-1/2) for all); None = weight 1.
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
    """Offsets (dy, dx) of a pixel's neighbours, without the pixel itself."""
    if window < 3 or window % 2 == 0:
        raise InputError(f'window {window} of the neighbourhood: an odd number from 3 on')
    if connectivity not in (4, 8):
        raise InputError(f'connectivity {connectivity} of the neighbourhood: 4 or 8')
    reach = window // 2
    span = range(-reach, reach + 1)
    return tuple((dy, dx) for dy in span for dx in span
                 if (dy or dx) and (connectivity == 8 or abs(dy) + abs(dx) <= reach))


def _strongest(probs, offsets, count, decay, needs_weights):
    """The `count` largest b q of each pixel and class, in order: list of (b q, b); b = 1 if not needed.

    A running insertion over shifted views: nothing of the size of the whole neighbourhood exists.
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


def coherence_table(labels: Iterable[np.ndarray], num_classes: int, *, window: int = 3, connectivity: int = 8,
                    ignore: int = 255) -> np.ndarray:
    """E_c: how often the neighbour of a pixel of class c is of class c too.

    The released code has such tables typed in for two datasets, without saying where they come from;
    this estimate is ours: the share of same-class pairs among all pairs (pixel, neighbour) whose pixel
    has class c and whose neighbour is labelled. A class without pairs gets the share of all classes
    together; without any pair the table is 0, and the refinement is the plain union.

    Args:
      labels: label maps, each int [H, W] (sizes may differ), at the resolution of the refined map.
      num_classes: C. window, connectivity: as in `neighbor_union`. ignore: the label of unlabelled pixels.

    Returns:
      f32 [C] in 0..1.
    """
    same, pairs = np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
    reach = window // 2
    offsets = neighborhood(window, connectivity)
    for label in labels:
        label = np.asarray(label).astype(np.int64)
        height, width = label.shape
        padded = np.pad(label, reach, constant_values=ignore)
        for dy, dx in offsets:
            other = padded[reach + dy:reach + dy + height, reach + dx:reach + dx + width]
            paired = (label != ignore) & (other != ignore)
            pairs += np.bincount(label[paired], minlength=num_classes)
            same += np.bincount(label[paired & (label == other)], minlength=num_classes)
    pooled = same.sum() / max(pairs.sum(), 1)
    return np.where(pairs > 0, same / np.maximum(pairs, 1), pooled).astype(np.float32)
