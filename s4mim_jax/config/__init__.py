"""The configuration: keys and defaults, methods, recipes, overrides, validation, and the one error of bad inputs.

`adopt`, `base` and `compose` are imported when they are asked for: they read the terms' own keys, and the terms stand,
as all of the core does, on files of this folder.
"""

__all__ = ['adopt', 'base', 'compose']


def __getattr__(name: str):
    if name == 'compose':
        from s4mim_jax.config.methods import compose
        return compose
    if name in __all__:
        from s4mim_jax.config import keys
        return getattr(keys, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
