"""Builds each view of a batch, once: photometric changes, CutMix, normalisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from s4mim_jax.parallel.collectives import Collectives
from s4mim_jax.views.cutmix import cutmix_boxes, paste
from s4mim_jax.views.normalize import normalizer
from s4mim_jax.views.photometric import photometric
from s4mim_jax.views.randomness import StepRandomness
from s4mim_jax.views.table import views_of

if TYPE_CHECKING:
    from jaxtyping import Array, Bool


def build_views(names: tuple[str, ...], batch: dict, config, randomness: StepRandomness, collectives: Collectives):
    """The images that the networks see.

    Args:
      names: views wanted, rows of the table without a mask that are no other view's features.
      batch: labeled.image u8 [B, H, W, C]; unlabeled.image u8 [B, P, H, W, C] and index i32 [B].
      config: reads views, method.cutmix and the statistics of data. randomness: of the step.

    Returns:
      (images: name -> f32 [B, H, W, C] normalised,
       boxes: strong view -> bool [B, H, W], True where the partner is pasted; {} without CutMix).
    """
    rows, normalize, images, boxes = views_of(config.method), normalizer(config.data), {}, {}
    for row in map(rows.row, names):
        if row.cutmix:
            images[row.name], box = _strong(row, batch['unlabeled'], config, randomness, collectives)
            if box is not None:
                boxes[row.name] = box
        elif row.photometric:
            changed = _photometric(row.stream or row.name, batch[row.side], row.slot, config, randomness, collectives)
            images[row.name] = normalize(changed * 255.0)
        else:
            image = batch[row.side]['image']
            images[row.name] = normalize(image if row.side == 'labeled' else image[:, row.slot])
    return images, boxes


def _photometric(stream, examples, slot, config, randomness, collectives):
    """Photometric view f32 [B, H, W, C] in 0..1 of the crop (slot 0) or its partner (slot 1)."""
    image = examples['image']
    keys = randomness.keys(f'photometric/{stream}', examples['index'])
    image = (image if image.ndim == 4 else image[:, slot]).astype(jnp.float32) / 255.0
    return photometric(keys, image, config.views, shards=collectives.shards)


def _strong(row, unlabeled, config, randomness, collectives):
    stream = row.stream or row.name
    normalize = normalizer(config.data)
    own = _photometric(stream, unlabeled, row.slot, config, randomness, collectives)
    if config.method.cutmix.probability == 0:
        return normalize(own * 255.0), None
    keys = randomness.keys(f'cutmix/{stream}', unlabeled['index'])
    box = cutmix_boxes(keys, own.shape[1:3], config.method.cutmix)
    if config.method.cutmix.partner == 'batch':
        partner = collectives.swap_pairs(own)
    else:
        partner = _photometric(f'{stream}/partner', unlabeled, 1, config, randomness, collectives)
    return normalize(paste(box, own, partner) * 255.0), box


def mix_target(box: Bool[Array, 'B H W'] | None, own, partner):
    """A view's target: every field of `own` with the partner's inside the view's box."""
    if box is None:
        return own
    return jax.tree.map(lambda a, b: paste(box, a, b), own, partner)
