"""Pretrained networks: published files in the naming schemes of `schemes`, or written by `s4mim_jax.import_weights`."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import traverse_util

from s4mim_jax import models
from s4mim_jax.models.initial import init_leaves
from s4mim_jax.pretrained.contents import recognise
from s4mim_jax.pretrained.hub import local_file
from s4mim_jax.pretrained.matching import fit
from s4mim_jax.pretrained.parts import misfit, wanted
from s4mim_jax.pretrained.readers import PACKAGED, read_weights


def import_variables(source: str, model_config, num_classes: int, *, seed: int = 0,
                     say: Callable[[str], None] = lambda line: None) -> dict:
    """Variables of `models.build(model_config, num_classes)` with what a weights file brings.

    A file with encoder and decoder brings both if the model has that decoder, without the last layer where
    its classes are others; any other file brings the encoder, as does a start of the package whose decoder has other
    shapes.

    Args:
      source: .safetensors, .npz or .pth in a known naming scheme, a file that
        `python -m s4mim_jax.import_weights` wrote, or a name of the hub, see `hub`.
      model_config: config.model.
      num_classes: channels of the logits.
      seed: of what the file does not bring.
      say: receives lines that tell what was taken and changed.

    Returns:
      {'params', 'batch_stats'} of float32 arrays ('params' alone for networks without BatchNorm): what
      the file brings, the rest initialised from the seed, so that the result is a function of the arguments.

    Raises:
      InputError: unreadable file, another architecture, stem, padding or norm, and arrays that are
        missing, unexpected or mis-shaped, by name.
    """
    module = models.build(model_config, num_classes)
    contents = recognise(read_weights(local_file(source)))
    # The package's starts are for every network of their encoder; a user's file that fits half is a mistake.
    encoder_only = misfit(contents, model_config) if source in PACKAGED else None
    plan = wanted(contents, model_config, num_classes, encoder_only or False)
    fitted = fit(contents, plan)
    for line in (plan.told, *fitted.notes):
        say(f'{source}: {line}')
    # Only what the file does not bring is drawn.
    leaves = init_leaves(module, jax.random.key(seed), lambda path: path not in fitted.arrays)
    leaves.update({path: jnp.asarray(array) for path, array in fitted.arrays.items()})
    return traverse_util.unflatten_dict(leaves, sep='/')
