"""The one place that imports TensorFlow for the input pipeline, and hides accelerators from it.

TensorFlow would otherwise take the memory of the devices that JAX trains on.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

from s4mim_jax.config.errors import InputError


@contextlib.contextmanager
def without_keras() -> Iterator[None]:
    """While it lasts, Keras cannot be imported: TensorFlow ends its own import with it if it can, and it brings
    Matplotlib, which no pipeline uses. Who asks for `tf.keras` afterwards gets it."""
    if 'keras' in sys.modules:
        yield
        return
    sys.modules['keras'] = None
    try:
        yield
    finally:
        del sys.modules['keras']

# Its start-up notices are about kernels that a pipeline does not run; errors still show.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

try:
    with without_keras():
        import tensorflow as tf
except ModuleNotFoundError as error:
    if error.name != 'tensorflow':
        raise
    raise InputError('TensorFlow is not installed: reading datasets to train and evaluate needs it, gs://... too\n'
                     'valid: an environment of launch/setup.sh with Python 3.11 to 3.13, for which it has wheels; '
                     f'this is {sys.version_info[0]}.{sys.version_info[1]}') from None

for _kind in ('GPU', 'TPU'):
    tf.config.set_visible_devices([], _kind)
