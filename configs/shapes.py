"""shapes: the embedded dataset, drawn by the package. A narrow ResNet-18 that a laptop trains."""

from s4mim_jax.config import base, compose


def get_config(argument=None):
    config = base()
    config.data.name = 'shapes'
    config.data.split = 'seeded:1/32'
    config.data.crop = (96, 96)
    config.model.encoder = 'resnet18'
    config.model.width = 32
    config.model.decoder_width = 64
    config.model.low_level_width = 16
    return compose(config, argument, __file__)
