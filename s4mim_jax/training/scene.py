"""One forward pass of a method: views, teacher, targets, student passes. No losses here."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from s4mim_jax.parallel import Collectives
from s4mim_jax.pseudo_labels import Target, select
from s4mim_jax.training.passes import DROPPED, STRONG, Passes
from s4mim_jax.views.keys import example_keys
from s4mim_jax.views.scenes import build_views, mix_target


class Scene(NamedTuple):
    """What the terms see.

    logits: output name -> f32 [B, H, W, C]. label: i32 [B, H, W] of the labelled images.
    targets: view name -> Target. images: view name -> f32 [B, H, W, 3] normalised.
    """

    logits: dict
    label: jax.Array
    targets: dict[str, Target]
    images: dict
    method: object
    collectives: Collectives


def compose_scene(model, config, passes: Passes, collectives: Collectives, variables, teacher,
                  batch, step):
    """Runs a method's passes on one (micro-)batch.

    Args:
      model: Segmenter. variables: the student's {'params', 'batch_stats'}.
      teacher: the EMA's variables, or None.
      batch: as in make_train_step. step: updates completed.

    Returns:
      (Scene, the student's new batch_stats).
    """
    names = passes.views + (('w',) if passes.teacher == 'ema' else ()) + (('partner',) if passes.partner else ())
    images, boxes = build_views(tuple(dict.fromkeys(names)), batch, config, step, collectives)
    watched = _teacher_logits(model, passes, collectives, variables, teacher, images)

    logits, statistics = {}, variables['batch_stats']
    for call in passes.calls:
        sizes = {v: images[v].shape[0] for v in call.views}
        perturb = _perturbation(call, sizes, config, collectives, batch, step)
        outputs, changed = model.apply(
            {'params': variables['params'], 'batch_stats': statistics},
            collectives.join([images[v] for v in call.views]),
            train=True, perturb=perturb, mutable=['batch_stats'])
        statistics = changed.get('batch_stats', {})  # empty under GroupNorm
        parts = collectives.split(outputs.logits, [sizes[DROPPED.get(d, d)] for d in call.decoded])
        logits.update(zip(call.decoded, parts))

    targets = {}
    if passes.unlabeled:
        watched.setdefault('w', logits.get('w'))
        targets = _targets(watched, boxes, batch['unlabeled'], passes, config, collectives)
    label = batch['labeled']['label'].astype(jnp.int32) if 'x' in images else None
    return Scene(logits, label, targets, images, config.method, collectives), statistics


def _teacher_logits(model, passes, collectives, variables, teacher, images) -> dict:
    """Evaluation-mode maps without gradient: the EMA's of `w`, and the CutMix partner's."""
    seen = (['w'] if passes.teacher == 'ema' else []) + (['partner'] if passes.partner else [])
    if not seen:
        return {}
    weights = variables if passes.teacher == 'self' else teacher
    joined = collectives.join([images[v] for v in seen])
    outputs = model.apply(jax.lax.stop_gradient(weights), joined, train=False)
    return dict(zip(seen, collectives.split(outputs.logits, [images[v].shape[0] for v in seen])))


def _targets(watched, boxes, unlabeled, passes, config, collectives) -> dict[str, Target]:
    own = select(jax.nn.softmax(watched['w']), unlabeled['valid'][:, 0], config.method)
    targets = {'w': own}
    if not boxes:
        return targets | {view: own for view in passes.views if view in STRONG}
    if passes.partner:
        partner = select(jax.nn.softmax(watched['partner']), unlabeled['valid'][:, 1], config.method)
    else:
        partner = jax.tree.map(collectives.swap_pairs, own)
    return targets | {view: mix_target(box, own, partner) for view, box in boxes.items()}


def _perturbation(call, sizes, config, collectives, batch, step):
    """The hook between encoder and decoder of a call, or None."""
    dropped = [name for name in call.decoded if name in DROPPED]
    paired = config.method.complementary_dropout and call.views == STRONG
    if not dropped and not paired:
        return None
    # Named by what is drawn, not by the call: switching another view off changes no draw.
    name = 'features/paired' if paired else 'features/dropped'
    keys = example_keys(config.seed, name, step, batch['unlabeled']['index'])
    order = list(sizes.values())

    def perturb(features):
        return tuple(change(feature, level) for level, feature in enumerate(features))

    def change(feature, level):
        parts = dict(zip(call.views, collectives.split(feature, order)))
        if paired:
            masks = complementary_masks(keys, feature.shape[-1])
            return collectives.join([parts[v] * m.astype(feature.dtype)[:, None, None]
                                     for v, m in zip(call.views, masks)])
        own = jax.vmap(lambda key: jax.random.fold_in(key, level))(keys)  # levels drop independently
        keep = channel_dropout(own, feature.shape[-1], config.method.feature_dropout).astype(feature.dtype)
        second = [parts[DROPPED[d]] * keep[:, None, None] for d in dropped]
        return collectives.join([feature, *second])

    return perturb


def channel_dropout(keys: jax.Array, channels: int, rate: float) -> jax.Array:
    """Inverted dropout of whole channels: keys [B] -> f32 [B, C] with values 0 and 1 / (1 - rate)."""
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1.0 - rate, (channels,)))(keys)
    return keep / (1.0 - rate)


def complementary_masks(keys: jax.Array, channels: int) -> tuple[jax.Array, jax.Array]:
    """UniMatch V2: m ~ 2 Bernoulli(1/2) for s1 and 2 - m for s2; about half the pairs keep ones.

    Levels with equally many channels get the same mask, as in the released code. There exactly
    half of a device's pairs keep ones; a coin an image (ours) does not depend on the device.

    Returns:
      two f32 [B, C].
    """
    def one(key):
        coin, channel = jax.random.split(key)
        mask = 2.0 * jax.random.bernoulli(channel, 0.5, (channels,))
        return jnp.where(jax.random.bernoulli(coin, 0.5), 1.0, mask)

    mask = jax.vmap(one)(keys)
    return mask, 2.0 - mask
