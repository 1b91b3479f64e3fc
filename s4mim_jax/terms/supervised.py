"""L_x: cross-entropy on labelled images, plain or with online hard example mining."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.key import Key, share
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.parallel.order_statistic import settled
from s4mim_jax.terms.cross_entropy import class_weighted, pixel_cross_entropy
from s4mim_jax.terms.ratio import Ratio

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Integer


def needs(method) -> tuple[str, ...]:
    """The labelled view."""
    del method
    return ('x',)


def defaults() -> dict[str, Key]:
    """Its keys in config.method."""
    return {
        'supervised_loss': Key('ce', 'plain, or with online hard example mining', choices=('ce', 'ohem')),
        'ohem_threshold': share(0.7, 'a pixel is hard up to this probability of its class'),
        'ohem_keep': share(0.156, 'at least this share of an image is kept'),
        'class_balance': Key('none', 'class weights from the labelled masks', choices=('none', 'inverse', 'effective')),
        'class_weights': Key((), 'of the supervised cross-entropies, a number a class; () = by class_balance'),
    }


def loss(forward) -> list[Ratio]:
    """Mean over the labelled pixels of output `x`; with OHEM, over the hard ones of each image: a Ratio of scalars."""
    return [labeled_cross_entropy(forward.logits['x'], forward.label, forward.method, forward.method.supervised_loss)]


def labeled_cross_entropy(logits: Float[Array, 'B H W C'], label: Integer[Array, 'B H W'], method,
                          kind: str = 'ce') -> Ratio:
    """Cross-entropy of logits f32 [B, H, W, C] and labels i32 [B, H, W]; `kind` is 'ce' or 'ohem'.

    With `method.class_weights` each pixel counts by its class's weight in the sum, and as one in the
    number that divides it (ours; PyTorch divides by the sum of weights, which would undo the weight of a
    class in a batch that shows little else). OHEM chooses its pixels by their unweighted loss.
    """
    pixels = pixel_cross_entropy(logits, label)
    known = label != IGNORE
    if kind == 'ohem':
        known = hard_pixels(pixels, known, method.ohem_threshold, method.ohem_keep)
    if method.class_weights:
        if len(method.class_weights) != logits.shape[-1]:
            raise InputError(f'--config.method.class_weights: {len(method.class_weights)} numbers for '
                             f'{logits.shape[-1]} classes\nvalid: one a class')
        pixels = class_weighted(pixels, label, method.class_weights)
    return Ratio(jnp.sum(jnp.where(known, pixels, 0.0)), jnp.sum(known, dtype=jnp.int32))


def hard_pixels(pixels: Float[Array, 'B H W'], known: Bool[Array, 'B H W'], threshold: float,
                keep: float) -> Bool[Array, 'B H W']:
    """Which pixels OHEM trains on.

    A pixel is hard when its true class has a probability of at most `threshold`; each image keeps
    at least the share `keep` of its pixels, hardest first. The released code keeps 200k pixels of
    two 801 x 801 images, 15.6 %; per image (ours) instead of per device the choice does not
    depend on how many devices there are.

    Args:
      pixels: f32 [B, H, W] cross-entropy, known: bool [B, H, W].

    Returns:
      bool [B, H, W], a subset of `known`.
    """
    losses = settled(jax.lax.stop_gradient(jnp.where(known, pixels, -1.0)))
    flat = losses.reshape(pixels.shape[0], -1)
    least = max(1, round(keep * flat.shape[1]))
    # The loss of the `least`-th hardest pixel; -1 when the image has fewer labelled ones.
    limit = jnp.sort(flat, axis=1)[:, -least]
    limit = jnp.minimum(limit, -math.log(threshold))[:, None, None]
    return known & (losses >= limit)
