"""The one place that imports TensorFlow for the input pipeline, and hides accelerators from it.

TensorFlow would otherwise take the memory of the devices that JAX trains on.
"""

import os

# Its start-up notices are about kernels that a pipeline does not run; errors still show.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

import tensorflow as tf

for _kind in ('GPU', 'TPU'):
    tf.config.set_visible_devices([], _kind)
