"""Scoring a network on a stream of images: counts on the devices, one division at the end."""

from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from s4mim_jax import models
from s4mim_jax.config.encoder_sizes import evaluation_multiple
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.evaluation.boundary import boundary_confusion
from s4mim_jax.evaluation.confusion import confusion_matrix, scores
from s4mim_jax.evaluation.inference import ApplyFn, Protocol, class_values, protocol_from, scored
from s4mim_jax.evaluation.own_size import decide


def network(config, num_classes: int) -> ApplyFn:
    """The network of a config in evaluation mode, with its compute dtype: (variables, images) -> logits."""
    model = models.build_model(config, num_classes)
    return lambda variables, images: model.apply(variables, images, train=False).logits


def local_mesh(count: int | None = None) -> Mesh:
    """A mesh over (the first `count` of) this process's devices, for work outside of training."""
    return Mesh(np.asarray(jax.local_devices()[:count]), ('data',))


def describe(config) -> dict:
    """The protocol for a result file: everything that decides what the numbers mean."""
    protocol, resize = protocol_from(config), config.data.resize
    description = {
        'mode': protocol.mode, 'resize': list(resize) if resize else None, 'multiple': evaluation_multiple(config),
        'align_corners': protocol.align_corners, 'precision': config.precision, 'ignore': IGNORE,
        'scored_at': 'own size', 'scales': list(protocol.scales), 'flip': protocol.flip,
    }
    if protocol.mode != 'whole':
        description['window'] = list(protocol.window)
    if protocol.mode == 'sliding':
        description['stride'] = list(protocol.stride)
    if config.eval.boundary:
        description['boundary'] = config.eval.boundary
    return description


def make_evaluator(config, classes: Sequence[str], mesh: Mesh | None = None,
                   apply_fn: ApplyFn | None = None) -> Callable:
    """Builds `evaluator(variables, batches, *, step=0, weights='student', progress=None) -> result`.

    Keep it: it compiles the network once for each size of its input, and the scoring, which is
    quickly compiled, once for each size of input and canvas.

    Args:
      config: whole config; reads model, precision, eval, and resize and crop of data.
      classes: C names.
      mesh: devices that share the work, whatever its axes; None = one device. With several processes
        each works off its own batches on its own devices; only the counts are summed.
      apply_fn: the network; default the one of the config.

    evaluator:
      variables: of the network, on any devices.
      batches: of `data.evaluation_batches`: image u8 [B, h, w, 3], label u8 [B, Hc, Wc], size i32
        [B, 2], valid bool [B]; seen i32 [B, 2] where images are padded.
      step, weights: for the result. progress: called with the number of images done so far.

    result: miou, iou {name: share or None}, pixel_accuracy, step, weights, protocol, images; with
      `eval.boundary` also boundary_miou and boundary_iou {name: share or None}.

    Raises:
      InputError: unusable eval settings; or not one labelled pixel in the batches.
    """
    protocol = protocol_from(config)
    apply_fn = apply_fn or network(config, len(classes))
    devices = _local_part(mesh)
    predict = jax.jit(lambda variables, image: class_values(apply_fn, variables, image, protocol))
    count = jax.jit(lambda *arrays: _count(len(classes), protocol, config.eval.boundary, *arrays))

    @jax.jit
    def predict_and_count(variables, image, seen, *truth):  # one program for each of the few shapes
        values = class_values(apply_fn, variables, image, protocol, seen)
        return _count(len(classes), protocol, config.eval.boundary, values, *truth, seen)

    def evaluator(variables, batches: Iterable[dict], *, step: int = 0, weights: str = 'student',
                  progress: Callable[[int], None] | None = None) -> dict:
        variables = place_variables(variables, devices)
        total, images, waiting = _zeros(len(classes), config.eval.boundary), 0, None
        for batch in batches:
            image, *truth = place_batch([batch[k] for k in ('image', 'label', 'size', 'valid')], devices)
            # The host prepares the next batch while the devices work on this one.
            if 'seen' in batch:
                counts = predict_and_count(variables, image, *place_batch([batch['seen']], devices), *truth)
            else:
                counts = count(predict(variables, image), *truth)
            waiting, done = counts, waiting
            if done is not None:
                total = jax.tree.map(np.add, total, jax.device_get(done))
            images += int(np.sum(batch['valid']))
            if progress:
                progress(images)
        if waiting is not None:
            total = jax.tree.map(np.add, total, jax.device_get(waiting))
        total, images = _over_processes(total, images)
        if not total['pixels'].any():
            raise InputError(f'no pixel to score: the {images} images of the split have no labels in '
                             f'0..{len(classes) - 1}')
        return {**scores(total['pixels'], classes), **_boundary_scores(total, classes), 'step': int(step),
                'weights': weights, 'protocol': describe(config), 'images': images}

    return evaluator


def evaluate(apply_fn: ApplyFn, variables, batches: Iterable[dict], config, classes: Sequence[str], *,
             mesh: Mesh | None = None, step: int = 0, weights: str = 'student') -> dict:
    """One evaluation, see `make_evaluator`."""
    return make_evaluator(config, classes, mesh, apply_fn)(variables, batches, step=step, weights=weights)


def _count(num_classes: int, protocol: Protocol, boundary: float, values, label, own, valid, seen=None) -> dict:
    """Counts of one batch of class values [B, h, w, C]: int32 pixels [C, C], boundary [C + 1, C + 1].

    `seen` int32 [B, 2]: the part of the values that is the image's; None = all.
    """
    canvas = label.shape[1:3]
    predictions, _ = decide(values, own, canvas, protocol.align_corners, seen=seen)
    counted = scored(own, values.shape[1:3], canvas, protocol) & valid[:, None, None]
    label = jnp.where(counted, label, IGNORE)
    counts = {'pixels': confusion_matrix(label, predictions, num_classes, IGNORE)}
    if boundary:
        counts['boundary'] = boundary_confusion(label, predictions, own, num_classes, boundary, IGNORE)
    return counts


def _zeros(num_classes: int, boundary: float) -> dict:
    sides = {'pixels': num_classes} | ({'boundary': num_classes + 1} if boundary else {})
    return {name: np.zeros((side, side), np.int64) for name, side in sides.items()}


def _boundary_scores(total: dict, classes: Sequence[str]) -> dict:
    if 'boundary' not in total:
        return {}
    iou = scores(total['boundary'], [*classes, ''])['iou']  # '' is what lies in no band
    del iou['']
    present = [value for value in iou.values() if value is not None]
    return {'boundary_miou': float(np.mean(present)) if present else None, 'boundary_iou': iou}


def _local_part(mesh: Mesh | None) -> Mesh:
    if mesh is None:
        return local_mesh(1)
    return mesh if jax.process_count() == 1 else local_mesh()


def place_variables(variables, mesh: Mesh):
    """Variables on the devices of `mesh`; those that are there already stay as they are spread."""
    here = NamedSharding(mesh, PartitionSpec())

    def place(leaf):
        if isinstance(leaf, jax.Array):
            if leaf.sharding.device_set == here.device_set:
                return leaf
            if not leaf.is_fully_addressable:  # spread over processes in training
                leaf = (leaf.addressable_data(0) if leaf.is_fully_replicated
                        else multihost_utils.process_allgather(leaf, tiled=True))
        return jax.device_put(leaf, here)

    return jax.tree.map(place, variables)


def place_batch(arrays: Sequence[np.ndarray], mesh: Mesh) -> list[jax.Array]:
    """Arrays [B, ...] spread over the mesh, with zeros (valid = False) appended where B does not divide."""
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    missing = -len(arrays[0]) % mesh.size
    padded = [np.pad(x, [(0, missing)] + [(0, 0)] * (np.ndim(x) - 1)) if missing else x for x in arrays]
    return [jax.device_put(np.asarray(x), sharding) for x in padded]


def _over_processes(total: dict, images: int) -> tuple[dict, int]:
    if jax.process_count() == 1:
        return total, images
    # As pairs of 32-bit halves: JAX would cut 64-bit integers off.
    numbers = np.concatenate([*(counts.ravel() for counts in total.values()), [images]]).astype(np.uint64)
    halves = np.stack([numbers & 0xFFFFFFFF, numbers >> 32]).astype(np.uint32)
    gathered = np.asarray(multihost_utils.process_allgather(halves)).astype(np.int64)  # [processes, 2, n]
    summed = (gathered[:, 0] + (gathered[:, 1] << 32)).sum(0)
    ends = np.cumsum([counts.size for counts in total.values()])
    parts = np.split(summed, ends)
    return {name: part.reshape(counts.shape) for (name, counts), part in zip(total.items(), parts)}, int(parts[-1][0])
