"""COCO 2017 with 81 classes, background and 80 things, the recipes of UniMatch and UniMatch V2.

`--config=configs/coco.py:unimatch,split=1_512`. The published V1 network is Xception-65, which is not here: ours is
ResNet-50 with the deep stem under the same settings.
"""

from s4mim_jax.config import base, compose
from s4mim_jax.config.recipes import Recipe, Training

TRAINING = Training(118_287, {'1_512': 232, '1_256': 463, '1_128': 925, '1_64': 1849, '1_32': 3697})
PUBLISHED = {'v1': Recipe(crop=513, batch=8, epochs=30, learning_rate=4e-3, head_multiplier=10.0),
             'v2': Recipe(crop=518, batch=16, epochs=20, learning_rate=5e-6, head_multiplier=40.0)}


def get_config(argument=None):
    config = base()
    config.data.name = 'coco'
    config.data.split = '1_512'
    config.eval.every = 10_000
    config.checkpoint.every = 2000
    return compose(config, argument, __file__, published=PUBLISHED, training=TRAINING)
