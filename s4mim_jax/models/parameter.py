"""A module's parameter without what flax spends on it at every call."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import errors
from flax import linen as nn


def parameter(module: nn.Module, name: str, initializer: Callable, shape: tuple[int, ...]) -> jax.Array:
    """float32 parameter `name` of a compact module, drawn by `initializer` when the module is initialised.

    `module.param` traces the initialiser again at every call to learn the shape that it would give: an eighth of the
    time that tracing a training step takes (benchmarks/start.py).

    Raises:
      flax.errors.ScopeParamShapeError: the variables hold an array of another shape.
    """
    if not module.has_variable('params', name):
        return module.param(name, initializer, shape, jnp.float32)
    value = module.get_variable('params', name)
    if value.shape != shape:
        raise errors.ScopeParamShapeError(name, '/'.join(module.path), value.shape, shape)
    return value
