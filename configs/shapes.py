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
    config.model.aspp_rates = (1, 2, 4)  # below the side of the map, 6 x 6 at stride 16
    config.data.scale = (0.75, 1.5)
    # Colour tells classes apart here, and the images are small: gentler than the photographs' recipe.
    config.views.update(brightness=0.25, contrast=0.25, saturation=0.25, hue=0.05, grayscale_probability=0.05,
                        blur_probability=0.2, blur_sigma=(0.1, 1.0))
    config.method.cutmix.probability = 1.0
    config.optimizer.update(learning_rate=3e-3, schedule='cosine')
    config.total_steps = 1000
    config.eval.every = 500
    config.checkpoint.every = 500
    return compose(config, argument, __file__)
