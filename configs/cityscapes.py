"""Cityscapes: 19 classes of street scenes, 1024 x 2048, the recipes of UniMatch and UniMatch V2.

`--config=configs/cityscapes.py:unimatch,split=1_16`; labelIds are mapped, labelTrainIds taken as they are. Hard-pixel
cross-entropy on labelled images; evaluation by sliding windows. V1 uses every pseudo-label (tau 0).
"""

from s4mim_jax.config import base, compose
from s4mim_jax.config.recipes import Recipe, Training

TRAINING = Training(2975, {'1_30': 100, '1_16': 186, '1_8': 372, '1_4': 744, '1_2': 1488})
PUBLISHED = {
    'v1': Recipe(crop=801, batch=8, epochs=240, learning_rate=5e-3, head_multiplier=1.0, tau=0.0, ohem=True,
                 sliding=True),
    'v2': Recipe(crop=798, batch=8, epochs=180, learning_rate=5e-6, head_multiplier=40.0, ohem=True, sliding=True),
}


def get_config(argument=None):
    config = base()
    config.data.name = 'cityscapes'
    config.data.split = '1_16'
    config.eval.every = 5000
    config.eval.batch = 1
    config.checkpoint.every = 1000
    return compose(config, argument, __file__, published=PUBLISHED, training=TRAINING)
