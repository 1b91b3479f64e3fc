"""The configuration: keys and defaults, methods, recipes, overrides, validation, and the one error of bad inputs."""

from s4mim_jax.config.keys import base
from s4mim_jax.config.methods import compose

__all__ = ['base', 'compose']
