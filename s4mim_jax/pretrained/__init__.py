"""Pretrained encoders: files in torchvision's names, or written by `s4mim_jax.import_weights`."""

from flax import traverse_util
import jax
import jax.numpy as jnp

from s4mim_jax import models
from s4mim_jax.errors import InputError
from s4mim_jax.models.initial import init_leaves, leaf_shapes
from s4mim_jax.pretrained.matching import match, padding_of
from s4mim_jax.pretrained.readers import read_weights


def import_variables(source: str, model_config, num_classes: int, *, seed: int = 0) -> dict:
    """Variables of `models.build(model_config, num_classes)` with the encoder of a weights file.

    Args:
      source: .safetensors, .npz or .pth of ImageNet weights in torchvision's names, or a file that
        `python -m s4mim_jax.import_weights` wrote.
      model_config: config.model.
      num_classes: channels of the logits.
      seed: of what the file does not bring.

    Returns:
      {'params', 'batch_stats'} of float32 arrays: the encoder from the file, the rest initialised
      from the seed, so that the result is a function of the arguments.

    Raises:
      InputError: unreadable file, another architecture, stem, padding or norm, and arrays that are
        missing, unexpected or mis-shaped, by name.
    """
    module = models.build(model_config, num_classes)
    weights = read_weights(source)
    if model_config.norm != 'batch':
        raise InputError(f'weights file {source} is of a network with BatchNorm; '
                         f'config.model.norm={model_config.norm} cannot take it\n'
                         'valid: --config.model.norm=batch')
    shapes = encoder_shapes(module)
    imported = match(weights, shapes, model_config.encoder, model_config.stem)
    padding = padding_of(weights)
    if padding not in (None, model_config.padding):
        raise InputError(f'weights file {source} was trained with padding {padding!r}, '
                         f'config.model.padding is {model_config.padding!r}\n'
                         f'for these weights: --config.model.padding={padding}')
    # Only what the file does not bring is drawn.
    leaves = init_leaves(module, jax.random.key(seed), lambda path: path not in imported)
    leaves.update({path: jnp.asarray(array) for path, array in imported.items()})
    return traverse_util.unflatten_dict(leaves, sep='/')


def encoder_shapes(module) -> dict[str, tuple[int, ...]]:
    """Path -> shape of the encoder's leaves of a network from `models.build`."""
    return {path: shape for path, shape in leaf_shapes(module).items() if path.split('/')[1] == 'encoder'}
