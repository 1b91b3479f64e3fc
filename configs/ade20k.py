"""ADE20K (MIT Scene Parsing Benchmark): 150 classes, 0 in the masks is void, crops of 512.

`--config=configs/ade20k.py:unimatch,split=1_32`.
"""

from s4mim_jax.config import base, compose


def get_config(argument=None):
    config = base()
    config.data.name = 'ade20k'
    config.data.split = '1_32'
    config.data.crop = (512, 512)
    config.eval.multiple = 32  # photographs of many sizes share compiled programs
    return compose(config, argument, __file__)
