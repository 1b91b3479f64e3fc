"""Begins from the network of an earlier run, of the same or of other classes."""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import traverse_util

from s4mim_jax import models
from s4mim_jax.config.errors import InputError
from s4mim_jax.models.initial import init_leaves, leaf_shapes
from s4mim_jax.models.input_channels import with_input_channels
from s4mim_jax.runs import checkpoints, run_folder


def run_variables(source: str, model_config, num_classes: int, *, seed: int = 0, channels: int = 3,
                  say: Callable[[str], None] = lambda line: None) -> dict:
    """Variables of `models.build(model_config, num_classes)` from a run's best checkpoint.

    The teacher's weights if the run has a teacher. With other classes the last layer, and nothing else, is
    drawn anew.

    Args:
      source: run folder. model_config: config.model. num_classes: channels of the logits.
      seed: of a last layer that does not fit. channels: of the images; a run on RGB serves any number, see
        `input_channels`, a run on another number that number alone.
      say: receives a line that tells what was taken.

    Returns:
      {'params', 'batch_stats'} of float32 arrays.

    Raises:
      InputError: no run, no checkpoint, or a network whose other layers differ, by name.
    """
    config = run_folder.read_config(source, ())
    there = config.data.channels
    if there not in (3, channels):
        raise InputError(f'--config.model.pretrained={source}: a run on images of {there} channel(s), '
                         f'--config.data.channels={channels}\nvalid: {there}, or a run on 3 channels')
    classes = len(run_folder.read_json(Path(source) / 'run.json')['classes'])
    variables, step, kind = checkpoints.restore_weights(source, config, classes)
    stored = traverse_util.flatten_dict(variables, sep='/')
    module = models.build(model_config, num_classes)
    shapes = leaf_shapes(module, there)
    differ = [path for path in sorted(shapes.keys() | stored.keys())
              if path not in shapes or path not in stored or shapes[path] != stored[path].shape]
    if classes != num_classes:  # a leaf of C entries along its last axis, and equal otherwise
        last = {path for path in differ if path in shapes and path in stored
                and (*shapes[path][:-1], classes) == stored[path].shape and shapes[path][-1] == num_classes}
        differ = [path for path in differ if path not in last]
    else:
        last = set()
    if differ:
        path = differ[0]
        raise InputError(f'--config.model.pretrained={source}: its network is another one '
                         f'({len(differ)} arrays differ)\n'
                         f'{path}: stored {getattr(stored.get(path), "shape", "absent")}, '
                         f'config {shapes.get(path, "absent")}\n'
                         f'its model: {config.model.encoder}, {config.model.decoder}, stem {config.model.stem}, '
                         f'width {config.model.width}')
    say(f'{source}: {kind} weights of step {step}, {config.model.encoder} and {config.model.decoder} taken'
        + (f'; the last layer begins anew: {classes} classes there, {num_classes} here' if last else ''))
    leaves = init_leaves(module, jax.random.key(seed), lambda path: path in last, there)
    leaves.update({path: jnp.asarray(array) for path, array in stored.items() if path not in last})
    return with_input_channels(module, traverse_util.unflatten_dict(leaves, sep='/'), channels if there == 3 else 3)
