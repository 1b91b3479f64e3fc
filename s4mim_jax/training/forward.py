"""The forward pass of a method: views, teacher, targets, student passes. No losses here."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from s4mim_jax.config.labels import IGNORE
from s4mim_jax.models import feature_stride, size_multiple
from s4mim_jax.models.feature_grid import FeatureGrid, feature_grid
from s4mim_jax.parallel import Collectives
from s4mim_jax.pseudo_labels import Maps, Target, ensemble, select
from s4mim_jax.training.passes import Passes
from s4mim_jax.training.perturbation import perturbation
from s4mim_jax.training.state import NETWORK, network_parameters
from s4mim_jax.views.build import build_views, mix_target
from s4mim_jax.views.masked import Masked, mask_view
from s4mim_jax.views.randomness import StepRandomness
from s4mim_jax.views.table import LABELED, PARTNER, WEAK


class Forward(NamedTuple):
    """The outputs of a forward pass, which the terms compare. They are named as in `views/table.py`.

    logits: output -> f32 [B, H, W, C]. features: view -> [B, h, w, D], the encoder's last map.
    label: i32 [B, H, W] of the labelled images. targets: unlabelled view -> Target.
    images: view -> f32 [B, H, W, 3] normalised. masked: masked copy -> Masked. progress: f32, t/T.
    grid: of the features. heads: name -> parameters of a term's own head. states: term -> what it carries from
    step to step, as it was before this one. collectives: joins and splits batches, and sums over devices.
    """

    logits: dict
    features: dict
    label: jax.Array
    targets: dict[str, Target]
    images: dict
    masked: dict[str, Masked]
    progress: jax.Array
    grid: FeatureGrid
    heads: dict
    states: dict
    collectives: Collectives
    config: object

    @property
    def method(self):
        """config.method."""
        return self.config.method


def forward_pass(model, config, passes: Passes, collectives: Collectives, variables, teacher,
                 batch, randomness: StepRandomness, states: dict | None = None):
    """Runs a method's passes on one (micro-)batch.

    Args:
      model: Segmenter. variables: the student's {'params', 'batch_stats'}.
      teacher: the EMA's variables, or None.
      batch: as in make_train_step. randomness: of the step, which also says how far training is.
      states: of the terms, as the state holds them; None = no term has any.

    Returns:
      (Forward, the student's new batch_stats).
    """
    progress = jnp.asarray(randomness.step, jnp.float32) / config.total_steps
    images, boxes = build_views(_views(passes, config.method), batch, config, randomness, collectives)
    label = batch['labeled']['label'].astype(jnp.int32) if LABELED in images else None
    index = batch['unlabeled']['index'] if passes.unlabeled else None
    student = partial(_student_call, model, network_parameters(variables['params']), passes.table, config, collectives,
                      index, randomness)
    statistics, decoded, features = variables['batch_stats'], {}, {}
    for call in passes.calls:
        if not call.masked:
            outputs, maps, statistics = student(statistics, call, images)
            decoded, features = decoded | outputs, features | maps
    targets = {}
    if passes.unlabeled:
        maps = _teacher_maps(model, config, passes, variables, teacher, images, decoded.get(WEAK), collectives)
        targets = _targets(maps, boxes, passes.table, images, batch['unlabeled'], config, collectives, progress)
    masked = {name: _masked_copy(passes.table[name], passes.table, images, label, targets, batch, config, randomness)
              for name in passes.masked}
    for call in passes.calls:
        if call.masked:
            # 'running' (ours) asks whether a masked batch's own statistics, of pixels that are largely alike, hurt.
            # In the one run that tried it, it was worse than 'batch' (docs/history.md).
            statistics = jax.lax.stop_gradient(statistics)
            outputs, maps, _ = student(statistics, call, {name: copy.image for name, copy in masked.items()},
                                       train=config.method.masks.statistics == 'batch')
            decoded, features = decoded | outputs, features | maps
    logits = {name: output.logits for name, output in decoded.items()}
    heads = {name: value for name, value in variables['params'].items() if name not in NETWORK}
    return Forward(logits, features, label, targets, images, masked, progress, feature_grid(config.model), heads,
                   states or {}, collectives, config), statistics


class _Decoded(NamedTuple):
    logits: jax.Array
    coarse: jax.Array


def _student_call(model, params, table, config, collectives, index, randomness, statistics, call, images, train=True):
    """One call of the student on the views of `call`, whose pixels are in `images`.

    Returns:
      (output -> _Decoded, view -> the encoder's last map, the new batch_stats: {} under GroupNorm).
    """
    sizes = {view: images[view].shape[0] for view in call.views}
    result, changed = model.apply(
        {'params': params, 'batch_stats': statistics}, collectives.join([images[view] for view in call.views]),
        train=train, perturb=perturbation(call, table, sizes, config, collectives, index, randomness),
        mutable=['batch_stats'])
    decoded_sizes = [sizes[name if name in sizes else table[name].base] for name in call.decoded]
    logits, coarse = (collectives.split(array, decoded_sizes) for array in (result.logits, result.coarse))
    features = collectives.split(result.features[-1], list(sizes.values()))
    return (dict(zip(call.decoded, map(_Decoded, logits, coarse))), dict(zip(call.views, features)),
            changed.get('batch_stats', {}))


def _views(passes, method) -> tuple[str, ...]:
    """Views whose pixels are needed: seen whole, seen by the teacher, or behind a mask."""
    names = passes.views + ((WEAK,) if passes.teacher == 'ema' else ()) + ((PARTNER,) if passes.partner else ())
    names += tuple(passes.table.base(name, method.masks) for name in passes.masked)
    return tuple(dict.fromkeys(names))


def _teacher_maps(model, config, passes, variables, teacher, images, own, collectives) -> dict[str, Maps]:
    """The teacher's maps of `w` and of the CutMix partner: evaluation mode, no gradient.

    teacher.kind=self: the student is its own teacher, and at scale 1 its map of `w` is the output of its training
    pass (`own`), dropout and batch statistics included, as in UniMatch's code.
    """
    weights = variables if passes.teacher == 'self' else teacher
    weights = jax.lax.stop_gradient({**weights, 'params': network_parameters(weights['params'])})
    evaluate = lambda images: model.apply(weights, images, train=False)
    maps_of = lambda images, own: ensemble(evaluate, images, passes.scales, feature_stride(config.model),
                                           config.model.align_corners, own, patches=size_multiple(config.model) > 1)
    maps = {}
    views = ([WEAK] if passes.teacher == 'ema' else []) + ([PARTNER] if passes.partner else [])
    if passes.teacher == 'self':
        maps[WEAK] = maps_of(images[WEAK], own)
    if views:
        together = maps_of(collectives.join([images[view] for view in views]), None)
        sizes = [images[view].shape[0] for view in views]
        fields = Maps(*(collectives.split(field, sizes) for field in together))
        maps |= {view: Maps(*own_fields) for view, *own_fields in zip(views, *fields)}
    return maps


def _targets(maps, boxes, table, images, unlabeled, config, collectives, progress) -> dict[str, Target]:
    target_of = lambda view, slot: select(maps[view], unlabeled['valid'][:, slot], config.method, progress=progress,
                                          align_corners=config.model.align_corners, collectives=collectives)
    own = target_of(WEAK, 0)
    targets = {WEAK: own}
    if not boxes:
        return targets | {view: own for view in table.strong if view in images}
    # Refined before it is mixed: the seam of a box is no boundary of an object.
    partner = target_of(PARTNER, 1) if PARTNER in maps else jax.tree.map(collectives.swap_pairs, own)
    return targets | {view: mix_target(box, own, partner) for view, box in boxes.items()}


def _masked_copy(row, table, images, label, targets, batch, config, randomness) -> Masked:
    """The masked copy that a row of the table of views describes."""
    if row.side == 'labeled':
        class_region = label
    else:
        target = targets[table.target(row.name)]
        confident = target.valid & (target.confidence >= reconstruction_threshold(config.method))
        class_region = jnp.where(confident, target.label, IGNORE)
    image = images[table.base(row.name, config.method.masks)]
    return mask_view(row.mask, image, class_region, batch[row.side]['index'], config, randomness)


def reconstruction_threshold(method) -> float:
    """Confidence from which an unlabelled pixel takes part in masked image modelling (ours): `mim.tau`, or `tau`."""
    return method.tau if method.mim.tau is None else method.mim.tau
