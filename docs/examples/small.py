"""The config of docs/own_images.md: `folder` with a network that trains in a few minutes on a laptop.

A config file of your own looks like this one; methods are those of the project, and of a folder `methods/` beside it.
"""

from s4mim_jax.config import base, compose


def get_config(argument=None):
    config = base()
    config.data.update(name='folder', crop=(64, 64))
    config.model.update(encoder='resnet18', width=16, decoder_width=32, aspp_rates=(1, 2, 3))
    config.batch.update(labeled=4, unlabeled=4)
    config.optimizer.update(learning_rate=5e-4, head_multiplier=4.0, weight_decay=0.01)
    config.total_steps = config.eval.every = 200
    config.eval.multiple = 32
    return compose(config, argument, __file__)
