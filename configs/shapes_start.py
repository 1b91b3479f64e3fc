"""shapes with few labels and a start: 16 labelled images, the package's own pretrained network (docs/evidence.md).

The regime of the quickstart and of the evidence. `--config.model.pretrained=None` begins from scratch.
"""

from s4mim_jax.config import base, compose


def get_config(argument=None):
    config = base()
    config.data.update(name='shapes', split='seeded:1/64', crop=(64, 64), scale=(0.75, 1.5))
    config.model.update(encoder='resnet18', width=16, decoder='unet', unet_widths=(64, 32, 16),
                        pretrained='package:patterns')
    # Colour tells most objects here, and the images are small: gentler than the photographs' recipe.
    config.views.update(brightness=0.25, contrast=0.25, saturation=0.25, hue=0.05, grayscale_probability=0.05,
                        blur_probability=0.2, blur_sigma=(0.1, 1.0))
    config.method.cutmix.probability = 1.0
    config.optimizer.update(learning_rate=3e-3, schedule='cosine', warmup_steps=100)
    config.total_steps = 1500
    config.eval.every = config.checkpoint.every = 500
    config.log.every = 100
    return compose(config, argument, __file__, default='fixmatch_ema')
