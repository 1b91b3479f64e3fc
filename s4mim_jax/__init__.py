"""Semi-supervised semantic segmentation in JAX.

`get_config` gives a config, `fit` trains on a folder, `load` brings a trained network; `docs/python_api.md` shows them.
"""

import importlib
import importlib.metadata

from s4mim_jax import former_paths
from s4mim_jax.config import weight_folders

# name -> where it lives. On demand: most of the package works without what `load` brings.
_FACE = {'fit': 's4mim_jax.fit', 'get_config': 's4mim_jax.runs.named_config', 'load': 's4mim_jax.prediction.loading'}

__all__ = ['__version__', 'fit', 'get_config', 'load']

try:
    __version__ = importlib.metadata.version('s4mim-jax')
except importlib.metadata.PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = '0.1.0'

former_paths.install()


def _run_variables(*arguments, **options) -> dict:
    from s4mim_jax.runs.fine_tune import run_variables  # brings the checkpoint library, for those who need it
    return run_variables(*arguments, **options)


weight_folders.read_with(_run_variables)


def __getattr__(name: str):
    if name in _FACE:
        return getattr(importlib.import_module(_FACE[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__():
    return sorted({*globals(), *__all__})
