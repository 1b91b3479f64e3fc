"""Builds each view of a batch once: photometric changes, CutMix, normalisation."""

import jax
import jax.numpy as jnp

from s4mim_jax.parallel.collectives import Collectives
from s4mim_jax.views.cutmix import cutmix_boxes, paste
from s4mim_jax.views.keys import Draws
from s4mim_jax.views.normalize import normalizer
from s4mim_jax.views.photometric import photometric


def build_views(names: tuple[str, ...], batch: dict, config, draws: Draws, collectives: Collectives):
    """The images that the networks see.

    Args:
      names: views wanted among x, w, s1, s2, w_photometric (a strong view without CutMix) and
        partner (the weak view of the CutMix partner).
      batch: labeled.image u8 [B, H, W, C]; unlabeled.image u8 [B, P, H, W, C] and index i32 [B].
      config: reads views, method.cutmix and the statistics of data. draws: randomness of the step.

    Returns:
      (images: name -> f32 [B, H, W, C] normalised,
       boxes: strong view -> bool [B, H, W], True where the partner is pasted; {} without CutMix).
    """
    normalize, images, boxes = normalizer(config.data), {}, {}
    if 'x' in names:
        images['x'] = normalize(batch['labeled']['image'])
    if 'w' in names:
        images['w'] = normalize(batch['unlabeled']['image'][:, 0])
    if 'partner' in names:
        images['partner'] = normalize(batch['unlabeled']['image'][:, 1])
    if 'w_photometric' in names:
        images['w_photometric'] = normalize(_photometric('w', batch['unlabeled'], 0, config, draws) * 255.0)
    for name in names:
        if name in ('s1', 's2'):
            images[name], box = _strong(name, batch['unlabeled'], config, draws, collectives)
            if box is not None:
                boxes[name] = box
    return images, boxes


def _photometric(stream, unlabeled, slot, config, draws):
    """Photometric view f32 [B, H, W, C] in 0..1 of the crop (slot 0) or its partner (slot 1)."""
    keys = draws.keys(f'photometric/{stream}', unlabeled['index'])
    return photometric(keys, unlabeled['image'][:, slot].astype(jnp.float32) / 255.0, config.views)


def _strong(name, unlabeled, config, draws, collectives):
    normalize, own = normalizer(config.data), _photometric(name, unlabeled, 0, config, draws)
    if config.method.cutmix.probability == 0:
        return normalize(own * 255.0), None
    keys = draws.keys(f'cutmix/{name}', unlabeled['index'])
    box = cutmix_boxes(keys, own.shape[1:3], config.method.cutmix)
    if config.method.cutmix.partner == 'batch':
        partner = collectives.swap_pairs(own)
    else:
        partner = _photometric(f'{name}/partner', unlabeled, 1, config, draws)
    return normalize(paste(box, own, partner) * 255.0), box


def mix_target(box: jax.Array | None, own, partner):
    """A view's target: every field of `own` with the partner's inside the view's box."""
    if box is None:
        return own
    return jax.tree.map(lambda a, b: paste(box, a, b), own, partner)
