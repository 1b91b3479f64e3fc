"""Initial variables, without the long compile that `jax.jit(module.init)` means on a CPU."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

# A network has some sixty random draws that run once; optimising each takes XLA:CPU most of a minute.
_FAST_COMPILE = {'xla_backend_optimization_level': 0}
_IMAGE = (1, 112, 112)  # shapes of parameters do not depend on it; every encoder takes this size


def init_variables(module: nn.Module, key: jax.Array, channels: int = 3) -> dict:
    """`module.init(key, images)` of a network from `build`: {'params', 'batch_stats'}, float32.

    The forward pass is not computed, and the same key gives the same values as `module.init`.
    """
    return traverse_util.unflatten_dict(init_leaves(module, key, lambda path: True, channels), sep='/')


def init_leaves(module: nn.Module, key: jax.Array, wanted: Callable[[str], bool],
                channels: int = 3) -> dict[str, jax.Array]:
    """Path ('params/decoder/..') -> initial array of the leaves that are wanted; others are not drawn."""
    def draw(key):
        variables = module.init(key, jnp.zeros((*_IMAGE, channels)))
        return {p: v for p, v in traverse_util.flatten_dict(variables, sep='/').items() if wanted(p)}

    options = _FAST_COMPILE if jax.default_backend() == 'cpu' else None
    return jax.jit(draw, compiler_options=options)(key)


def leaf_shapes(module: nn.Module, channels: int = 3) -> dict[str, tuple[int, ...]]:
    """Path -> shape of every variable; computes nothing."""
    variables = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((*_IMAGE, channels)))
    return {p: v.shape for p, v in traverse_util.flatten_dict(variables, sep='/').items()}
