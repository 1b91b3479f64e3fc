"""COCO 2017 with 81 classes, background and 80 things, crops of 513.

`--config=configs/coco.py:unimatch,split=1_512`.
"""

from s4mim_jax.config import base, compose


def get_config(argument=None):
    config = base()
    config.data.name = 'coco'
    config.data.split = '1_512'
    config.data.crop = (513, 513)
    config.eval.multiple = 32  # photographs of many sizes share compiled programs
    return compose(config, argument, __file__)
