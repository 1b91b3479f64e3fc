"""Semi-supervised semantic segmentation in JAX."""

from s4mim_jax import former_paths

__all__ = ['fit', 'load']

former_paths.install()


def __getattr__(name: str):
    # On demand: most of the package works without the checkpoint library that `load` brings.
    if name == 'load':
        from s4mim_jax.prediction.loading import load
        return load
    if name == 'fit':
        from s4mim_jax.fit import fit
        return fit
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
