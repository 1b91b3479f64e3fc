"""How training begins: random networks, published weights, or the network of an earlier run."""

import os

import jax
import jax.numpy as jnp
import numpy as np

from s4mim_jax import models
from s4mim_jax.config import weight_folders
from s4mim_jax.models.input_channels import with_input_channels
from s4mim_jax.parallel import state_shardings
from s4mim_jax.training.state import TrainState, abstract_state, assemble, head_parameters
from s4mim_jax.views.randomness import stream


def initial_variables(config, num_classes: int) -> dict:
    """Random variables from `config.seed`, with pretrained ones in their place if asked for.

    The network starts from the same values whatever else the method trains beside it.
    """
    model = models.build_model(config, num_classes)
    source, channels = config.model.pretrained, config.data.channels
    say = lambda line: print(line, flush=True) if jax.process_index() == 0 else None
    if source and os.path.isdir(source):
        variables = weight_folders.read(source, config.model, num_classes, seed=config.seed, channels=channels, say=say)
    elif source:
        from s4mim_jax import pretrained  # readers are needed only here
        variables = pretrained.import_variables(source, config.model, num_classes, seed=config.seed, say=say)
        variables = with_input_channels(model, variables, channels)
    else:
        variables = models.init_variables(model, stream(config.seed, 'init', 0), channels)
    return {**variables, 'params': {**variables['params'], **head_parameters(config, num_classes)}}


def create_state(config, num_classes: int, mesh=None) -> TrainState:
    """The state before the first update.

    Args:
      config: a whole config. num_classes: C.
      mesh: where to place it (parameters copied, or cut along `fsdp`); None = default device.

    Raises:
      InputError: weights that do not fit the model.
    """
    variables = initial_variables(config, num_classes)
    variables = jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), variables)
    seed = jnp.asarray(config.seed, jnp.uint32)
    begin = lambda v, seed: assemble(config, v, seed, num_classes)
    if mesh is None:
        return jax.jit(begin)(variables, seed)
    shardings = state_shardings(abstract_state(config, num_classes), mesh)
    return jax.jit(begin, out_shardings=shardings)(variables, seed)
