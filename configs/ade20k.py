"""ADE20K (MIT Scene Parsing Benchmark): 150 classes, 0 in the masks is void; the recipe of UniMatch V2.

`--config=configs/ade20k.py:unimatch_v2,split=1_32`. No V1 recipe was published for it: ours is that of VOC at crop 513,
as long as the V2 recipe.
"""

from s4mim_jax.config import base, compose
from s4mim_jax.config.recipes import Recipe, Training

TRAINING = Training(20_210)
PUBLISHED = {'v1': Recipe(crop=513, batch=8, epochs=60, learning_rate=1e-3, head_multiplier=10.0),
             'v2': Recipe(crop=518, batch=8, epochs=60, learning_rate=5e-6, head_multiplier=40.0)}


def get_config(argument=None):
    config = base()
    config.data.name = 'ade20k'
    config.data.split = '1_32'
    config.eval.every = 5000
    config.checkpoint.every = 1000
    return compose(config, argument, __file__, published=PUBLISHED, training=TRAINING)
