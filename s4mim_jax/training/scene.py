"""One forward pass of a method: views, teacher, targets, student passes. No losses here."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from s4mim_jax.config.labels import IGNORE
from s4mim_jax.models import feature_stride, size_multiple
from s4mim_jax.models.positions import Positions, encoder_positions
from s4mim_jax.parallel import Collectives
from s4mim_jax.pseudo_labels import Maps, Target, ensemble, select
from s4mim_jax.training.passes import Passes
from s4mim_jax.training.perturbation import perturbation
from s4mim_jax.training.state import NETWORK, network_parameters
from s4mim_jax.views.keys import Draws
from s4mim_jax.views.masked import Masked, mask_view
from s4mim_jax.views.scenes import build_views, mix_target
from s4mim_jax.views.table import LABELED, PARTNER, WEAK


class Scene(NamedTuple):
    """What the terms see. Outputs are named as in `views/table.py`.

    logits: output -> f32 [B, H, W, C]. features: view -> [B, h, w, D], the encoder's last map.
    label: i32 [B, H, W] of the labelled images. targets: unlabelled view -> Target.
    images: view -> f32 [B, H, W, 3] normalised. masked: masked copy -> Masked. progress: f32, t/T.
    positions: of the features. heads: name -> parameters of a term's own head. states: term -> what it carries from
    step to step, as it was before this one. collectives: joins and splits batches, and sums over devices.
    """

    logits: dict
    features: dict
    label: jax.Array
    targets: dict[str, Target]
    images: dict
    masked: dict[str, Masked]
    progress: jax.Array
    positions: Positions
    heads: dict
    states: dict
    collectives: Collectives
    config: object

    @property
    def method(self):
        """config.method."""
        return self.config.method


def compose_scene(model, config, passes: Passes, collectives: Collectives, variables, teacher,
                  batch, draws: Draws, states: dict | None = None):
    """Runs a method's passes on one (micro-)batch.

    Args:
      model: Segmenter. variables: the student's {'params', 'batch_stats'}.
      teacher: the EMA's variables, or None.
      batch: as in make_train_step. draws: randomness of the step, which also says how far training is.
      states: of the terms, as the state holds them; None = no term has any.

    Returns:
      (Scene, the student's new batch_stats).
    """
    progress = jnp.asarray(draws.step, jnp.float32) / config.total_steps
    images, boxes = build_views(_views(passes, config.method), batch, config, draws, collectives)
    label = batch['labeled']['label'].astype(jnp.int32) if LABELED in images else None
    outputs, logits, features = {}, {}, {}
    statistics = variables['batch_stats']

    def run(call, seen, train=True):
        sizes = {v: seen[v].shape[0] for v in call.views}
        index = batch['unlabeled']['index'] if passes.unlabeled else None
        result, changed = model.apply(
            {'params': network_parameters(variables['params']), 'batch_stats': statistics},
            collectives.join([seen[v] for v in call.views]), train=train,
            perturb=perturbation(call, passes.table, sizes, config, collectives, index, draws), mutable=['batch_stats'])
        decoded = [sizes[d if d in sizes else passes.table[d].base] for d in call.decoded]
        split = lambda array: collectives.split(array, decoded)
        outputs.update(zip(call.decoded, map(_Output, split(result.logits), split(result.coarse))))
        features.update(zip(call.views, collectives.split(result.features[-1], list(sizes.values()))))
        return changed.get('batch_stats', {})  # empty under GroupNorm

    for call in passes.calls:
        if not call.masked:
            statistics = run(call, images)
    targets = {}
    if passes.unlabeled:
        maps = _teach(model, config, passes, variables, teacher, images, outputs.get(WEAK), collectives)
        targets = _targets(maps, boxes, passes.table, images, batch['unlabeled'], config, collectives, progress)
    masked = {name: _mask(name, passes.table, images, label, targets, batch, config, draws) for name in passes.masked}
    for call in passes.calls:
        if call.masked:
            # 'running' (ours) asks whether a masked batch's own statistics, of pixels that are largely alike, hurt.
            # In the one run that tried it, it was worse than 'batch' (docs/history.md).
            statistics = jax.lax.stop_gradient(statistics)
            run(call, {name: copy.image for name, copy in masked.items()},
                train=config.method.masks.statistics == 'batch')
    logits = {name: output.logits for name, output in outputs.items()}
    heads = {name: value for name, value in variables['params'].items() if name not in NETWORK}
    return Scene(logits, features, label, targets, images, masked, progress, encoder_positions(config.model), heads,
                 states or {}, collectives, config), statistics


class _Output(NamedTuple):
    logits: jax.Array
    coarse: jax.Array


def _views(passes, method) -> tuple[str, ...]:
    """Views whose pixels are needed: seen whole, seen by the teacher, or behind a mask."""
    names = passes.views + ((WEAK,) if passes.teacher == 'ema' else ()) + ((PARTNER,) if passes.partner else ())
    names += tuple(passes.table.base(name, method.masks) for name in passes.masked)
    return tuple(dict.fromkeys(names))


def _teach(model, config, passes, variables, teacher, images, own, collectives) -> dict[str, Maps]:
    """The teacher's maps of `w` and of the CutMix partner: evaluation mode, no gradient.

    A student that teaches itself says at scale 1 what it says in training mode (UniMatch's code).
    """
    weights = variables if passes.teacher == 'self' else teacher
    weights = jax.lax.stop_gradient({**weights, 'params': network_parameters(weights['params'])})
    outputs = lambda seen: model.apply(weights, seen, train=False)
    look = lambda seen, own: ensemble(outputs, seen, passes.scales, feature_stride(config.model),
                                      config.model.align_corners, own, patches=size_multiple(config.model) > 1)
    maps = {}
    seen = ([WEAK] if passes.teacher == 'ema' else []) + ([PARTNER] if passes.partner else [])
    if passes.teacher == 'self':
        maps[WEAK] = look(images[WEAK], own)
    if seen:
        together = look(collectives.join([images[v] for v in seen]), None)
        sizes = [images[v].shape[0] for v in seen]
        parts = Maps(*(collectives.split(field, sizes) for field in together))
        maps |= {view: Maps(*fields) for view, *fields in zip(seen, *parts)}
    return maps


def _targets(maps, boxes, table, images, unlabeled, config, collectives, progress) -> dict[str, Target]:
    choose = lambda view, slot: select(maps[view], unlabeled['valid'][:, slot], config.method, progress=progress,
                                       align_corners=config.model.align_corners, collectives=collectives)
    own = choose(WEAK, 0)
    targets = {WEAK: own}
    if not boxes:
        return targets | {view: own for view in table.strong if view in images}
    # Refined before it is mixed: the seam of a box is no boundary of an object.
    partner = choose(PARTNER, 1) if PARTNER in maps else jax.tree.map(collectives.swap_pairs, own)
    return targets | {view: mix_target(box, own, partner) for view, box in boxes.items()}


def _mask(name, table, images, label, targets, batch, config, draws) -> Masked:
    row = table[name]
    if row.side == 'labeled':
        part = label
    else:
        target = targets[table.target(name)]
        confident = target.valid & (target.confidence >= taking_part(config.method))
        part = jnp.where(confident, target.label, IGNORE)
    image = images[table.base(name, config.method.masks)]
    return mask_view(row.mask, image, part, batch[row.side]['index'], config, draws)



def taking_part(method) -> float:
    """Confidence from which an unlabelled pixel takes part in masked image modelling (ours): `mim.tau`, or `tau`."""
    return method.tau if method.mim.tau is None else method.mim.tau
