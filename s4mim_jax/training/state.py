"""Everything that training changes."""

import flax.struct
import jax
import jax.numpy as jnp

from s4mim_jax import models
from s4mim_jax.config.precision import compute_dtype
from s4mim_jax.models.pixel_decoder import PixelDecoder
from s4mim_jax.training.optimizer import make_optimizer
from s4mim_jax.views.keys import stream


@flax.struct.dataclass
class TrainState:
    """step: int32, completed updates. seed: uint32, `config.seed`, a value of the step so that runs of
    several seeds share one compiled program. params: the student's 'encoder' and 'decoder' and, where a term
    needs it, the 'pixel_decoder', which serves training only. batch_stats: the student's. ema: the
    teacher's {'params', 'batch_stats'}, None with teacher.kind=self; without unlabelled terms it teaches nobody and is
    scored. All leaves of networks
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


def build_pixel_decoder(config) -> PixelDecoder:
    """S4MIM's pixel decoder, for the encoder of a whole config."""
    mim = config.method.mim
    return PixelDecoder(mim.width, models.feature_stride(config.model), mim.layers, dtype=compute_dtype(config),
                        channels=config.data.channels)


def pixel_decoder_parameters(config, model) -> dict:
    """Random parameters of S4MIM's pixel decoder from `config.seed`, for the encoder of `model`."""
    image = jnp.zeros((1, *config.data.crop, config.data.channels))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), image))
    last = jax.eval_shape(lambda v: model.apply(v, image), variables).features[-1]
    init = jax.jit(lambda key: build_pixel_decoder(config).init(
        key, jnp.zeros((1, 2, 2, last.shape[-1])), jnp.zeros((1, 2, 2), jnp.int32))['params'])
    return init(stream(config.seed, 'init/pixel_decoder', 0))


def assemble(config, variables, seed) -> TrainState:
    """The state before the first update, of variables {'params', 'batch_stats'} and a seed (uint32 scalar)."""
    params, statistics = variables['params'], variables.get('batch_stats', {})
    # The teacher begins as a copy in buffers of its own: a donated buffer must not appear twice.
    average = None
    if config.method.teacher.kind == 'ema':  # a method of labels alone keeps one to be scored
        average = jax.tree.map(jnp.copy, {'params': network_parameters(params), 'batch_stats': statistics})
    return TrainState(jnp.zeros((), jnp.int32), seed, params, statistics,
                      make_optimizer(config).init(params), average)


def abstract_state(config, num_classes: int) -> TrainState:
    """Shapes and dtypes of the state, without computing anything."""
    model = models.build_model(config, num_classes)
    image = jax.ShapeDtypeStruct((1, *config.data.crop, config.data.channels), jnp.float32)

    def begin(image):
        variables = model.init(jax.random.key(0), image, train=False)
        if config.method.class_wise_mim:
            variables['params']['pixel_decoder'] = pixel_decoder_parameters(config, model)
        return assemble(config, variables, jnp.zeros((), jnp.uint32))

    return jax.eval_shape(begin, image)
