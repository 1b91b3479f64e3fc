"""Cityscapes: 19 classes of street scenes, 1024 x 2048, crops of 801.

`--config=configs/cityscapes.py:unimatch,split=1_16`; labelIds are mapped, labelTrainIds taken as they are.
"""

from s4mim_jax.config import base, compose


def get_config(argument=None):
    config = base()
    config.data.name = 'cityscapes'
    config.data.split = '1_16'
    config.data.crop = (801, 801)
    config.eval.batch = 1
    return compose(config, argument, __file__)
