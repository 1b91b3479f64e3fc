"""PASCAL VOC 2012: 21 classes, the recipes of UniMatch and UniMatch V2.

`--config=configs/voc.py:unimatch,split=92` is the V1 recipe (ResNet-50 with the deep stem, stride 16, crop 321, SGD);
`--config.model.encoder=resnet101` for the larger one. `unimatch_v2`, or any method with `recipe=v2`, begins with
DINOv2-S and DPT at crop 518. Classic splits are named by their labelled images (92 .. 1464); the `u2pl_` lists are
trained at crop 513.
"""

import dataclasses

from s4mim_jax.config import base, compose
from s4mim_jax.config.recipes import Recipe, Training

TRAINING = Training(10_582, {name: int(name) for name in ('92', '183', '366', '732', '1464', '662', '1323', '2646')})
PUBLISHED = {'v1': Recipe(crop=321, batch=8, epochs=80, learning_rate=1e-3, head_multiplier=10.0),
             'v2': Recipe(crop=518, batch=16, epochs=60, learning_rate=5e-6, head_multiplier=40.0)}


def get_config(argument=None):
    config = base()
    config.data.name = 'voc'
    config.data.split = '92'
    config.eval.every = 5000
    config.checkpoint.every = 1000
    published = PUBLISHED
    if 'split=u2pl_' in (argument or ''):
        published = PUBLISHED | {'v1': dataclasses.replace(PUBLISHED['v1'], crop=513)}
    return compose(config, argument, __file__, published=published, training=TRAINING)
