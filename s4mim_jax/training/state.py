"""Everything that training changes."""

import inspect

import flax.struct
import jax
import jax.numpy as jnp

from s4mim_jax import models, terms
from s4mim_jax.config.errors import InputError
from s4mim_jax.training.optimizer import NETWORK, make_optimizer
from s4mim_jax.views.randomness import stream


@flax.struct.dataclass
class TrainState:
    """step: int32, completed updates. seed: uint32, `config.seed`, a value of the step so that runs of
    several seeds share one compiled program. params: the student's 'encoder' and 'decoder' and the heads of terms
    that have one, which serve training only. batch_stats: the student's. ema: the teacher's
    {'params', 'batch_stats'}, None with teacher.kind=self; without unlabelled terms it teaches nobody and is
    scored. terms: term -> what it carries from step to step. All leaves of networks
    are float32. There is no key: randomness comes from (seed, stream, step, example)."""

    step: jax.Array
    seed: jax.Array
    params: dict
    batch_stats: dict
    opt_state: tuple
    ema: dict | None
    terms: dict = flax.struct.field(default_factory=dict)

    def variables(self, weights: str = 'student') -> dict:
        """Variables for `model.apply`: of the `student`, or of the `teacher` if there is one."""
        if weights == 'teacher' and self.ema is not None:
            return self.ema
        return {'params': network_parameters(self.params), 'batch_stats': self.batch_stats}


def network_parameters(params: dict) -> dict:
    """The parameters of the segmentation network, without the heads that serve training only."""
    return {name: value for name, value in params.items() if name in NETWORK}


def head_parameters(config, num_classes: int) -> dict:
    """Random parameters of the heads that the active terms have, from `config.seed`: name -> parameters.

    Raises:
      InputError: two heads of one name.
    """
    heads = {}
    for term, module in terms.active(config.method).items():
        if not hasattr(module, 'init'):
            continue
        name = getattr(module, 'HEAD', term)
        if name in heads or name in NETWORK:
            raise InputError(f'the head {name!r} of the term {term} has the name of another part of the network')
        begin = jax.jit(lambda key, module=module: _ask(module.init, config, key, num_classes=num_classes))
        heads[name] = begin(stream(config.seed, f'init/{name}', 0))
    return heads


def term_states(config, num_classes: int) -> dict:
    """What the active terms carry before the first step: term -> arrays."""
    return {name: jax.tree.map(jnp.asarray, _ask(term.state, config, num_classes=num_classes))
            for name, term in terms.active(config.method).items() if hasattr(term, 'state')}


def _ask(function, *arguments, num_classes):
    """Calls a term's function, with the number of classes if it takes it."""
    wants = 'num_classes' in inspect.signature(function).parameters
    return function(*arguments, **({'num_classes': num_classes} if wants else {}))


def assemble(config, variables, seed, num_classes: int) -> TrainState:
    """The state before the first update, of variables {'params', 'batch_stats'} and a seed (uint32 scalar)."""
    params, statistics = variables['params'], variables.get('batch_stats', {})
    # The teacher begins as a copy in buffers of its own: a donated buffer must not appear twice.
    average = None
    if config.method.teacher.kind == 'ema':  # a method of labels alone keeps one to be scored
        average = jax.tree.map(jnp.copy, {'params': network_parameters(params), 'batch_stats': statistics})
    return TrainState(jnp.zeros((), jnp.int32), seed, params, statistics,
                      make_optimizer(config).init(params), average, term_states(config, num_classes))


def abstract_state(config, num_classes: int) -> TrainState:
    """Shapes and dtypes of the state, without computing anything."""
    model = models.build_model(config, num_classes)
    image = jax.ShapeDtypeStruct((1, *config.data.crop, config.data.channels), jnp.float32)

    def begin(image):
        variables = model.init(jax.random.key(0), image, train=False)
        variables = {**variables, 'params': {**variables['params'], **head_parameters(config, num_classes)}}
        return assemble(config, variables, jnp.zeros((), jnp.uint32), num_classes)

    return jax.eval_shape(begin, image)
