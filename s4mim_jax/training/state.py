"""Everything that training changes, and how it begins."""

import os

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from s4mim_jax import models
from s4mim_jax.models.input_channels import with_input_channels
from s4mim_jax.models.pixel_decoder import PixelDecoder
from s4mim_jax.parallel import state_shardings
from s4mim_jax.training import passes
from s4mim_jax.training.optimizer import make_optimizer
from s4mim_jax.training.precision import compute_dtype
from s4mim_jax.views.keys import stream


@flax.struct.dataclass
class TrainState:
    """step: int32, completed updates. seed: uint32, `config.seed`, a value of the step so that runs of
    several seeds share one compiled program. params: the student's 'encoder' and 'decoder' and, where a term
    needs it, the 'pixel_decoder', which serves training only. batch_stats: the student's. ema: the
    teacher's {'params', 'batch_stats'}, None when the student teaches itself. All leaves of networks
    are float32. There is no key: randomness comes from (seed, stream, step, example)."""

    step: jax.Array
    seed: jax.Array
    params: dict
    batch_stats: dict
    opt_state: tuple
    ema: dict | None

    def variables(self, weights: str = 'student') -> dict:
        """Variables for `model.apply`: of the `student`, or of the `teacher` if there is one."""
        if weights == 'teacher' and self.ema is not None:
            return self.ema
        return {'params': network_parameters(self.params), 'batch_stats': self.batch_stats}


def network_parameters(params: dict) -> dict:
    """The parameters of the segmentation network, without those that serve training only."""
    return {name: value for name, value in params.items() if name != 'pixel_decoder'}


def build_model(config, num_classes: int, axis_name=None):
    """The network of a whole config, with its compute dtype."""
    return models.build(config.model, num_classes, dtype=compute_dtype(config), axis_name=axis_name)


def build_pixel_decoder(config) -> PixelDecoder:
    """S4MIM's pixel decoder, for the encoder of a whole config."""
    mim = config.method.mim
    return PixelDecoder(mim.width, models.feature_stride(config.model), mim.layers, dtype=compute_dtype(config),
                        channels=config.data.channels)


def initial_variables(config, num_classes: int) -> dict:
    """Random variables from `config.seed`, with pretrained ones in their place if asked for.

    The network starts from the same values whatever else the method trains beside it.
    """
    model = build_model(config, num_classes)
    source, channels = config.model.pretrained, config.data.channels
    if source and os.path.isdir(source):
        from s4mim_jax.training import fine_tune  # restores checkpoints, which know this module
        variables = fine_tune.run_variables(source, config.model, num_classes, seed=config.seed, channels=channels)
    elif source:
        from s4mim_jax import pretrained  # readers are needed only here
        say = lambda line: print(line, flush=True) if jax.process_index() == 0 else None
        variables = pretrained.import_variables(source, config.model, num_classes, seed=config.seed, say=say)
        variables = with_input_channels(model, variables, channels)
    else:
        variables = models.init_variables(model, stream(config.seed, 'init', 0), channels)
    if not config.method.class_wise_mim:
        return variables
    return {**variables, 'params': {**variables['params'], 'pixel_decoder': _pixel_decoder_parameters(config, model)}}


def _pixel_decoder_parameters(config, model) -> dict:
    image = jnp.zeros((1, *config.data.crop, config.data.channels))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), image))
    last = jax.eval_shape(lambda v: model.apply(v, image), variables).features[-1]
    init = jax.jit(lambda key: build_pixel_decoder(config).init(
        key, jnp.zeros((1, 2, 2, last.shape[-1])), jnp.zeros((1, 2, 2), jnp.int32))['params'])
    return init(stream(config.seed, 'init/pixel_decoder', 0))


def _assemble(config, variables, seed) -> TrainState:
    params, statistics = variables['params'], variables.get('batch_stats', {})
    # The teacher begins as a copy in buffers of its own: a donated buffer must not appear twice.
    average = None
    if passes.plan(config.method).teacher == 'ema':
        average = jax.tree.map(jnp.copy, {'params': network_parameters(params), 'batch_stats': statistics})
    return TrainState(jnp.zeros((), jnp.int32), seed, params, statistics,
                      make_optimizer(config).init(params), average)


def abstract_state(config, num_classes: int) -> TrainState:
    """Shapes and dtypes of the state, without computing anything."""
    model = build_model(config, num_classes)
    image = jax.ShapeDtypeStruct((1, *config.data.crop, config.data.channels), jnp.float32)

    def begin(image):
        variables = model.init(jax.random.key(0), image, train=False)
        if config.method.class_wise_mim:
            variables['params']['pixel_decoder'] = _pixel_decoder_parameters(config, model)
        return _assemble(config, variables, jnp.zeros((), jnp.uint32))

    return jax.eval_shape(begin, image)


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
    begin = lambda v, seed: _assemble(config, v, seed)
    if mesh is None:
        return jax.jit(begin)(variables, seed)
    shardings = state_shardings(abstract_state(config, num_classes), mesh)
    return jax.jit(begin, out_shardings=shardings)(variables, seed)
