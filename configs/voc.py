"""PASCAL VOC 2012 with the UniMatch V1 recipe: ResNet-50 (deep stem), stride 16, crop 321, SGD.

`--config=configs/voc.py:unimatch,split=92`; `--config.model.encoder=resnet101` for the larger one.
104,900 steps are 80 epochs over the 10,490 unlabelled images of the augmented set's 92 split.
"""

from s4mim_jax.config import base, compose


def get_config(argument=None):
    config = base()
    config.data.name = 'voc'
    config.data.split = '92'
    config.data.crop = (321, 321)
    config.model.encoder = 'resnet50'
    config.model.stem = 'deep'
    config.model.align_corners = True
    config.optimizer.update(name='sgd', learning_rate=1e-3, head_multiplier=10.0, weight_decay=1e-4)
    config.method.cutmix.partner = 'self_view'
    config.precision = 'auto'
    config.total_steps = 104_900
    config.eval.every = 5000
    config.checkpoint.every = 1000
    return compose(config, argument, __file__)
