"""Your own images: `--config=configs/folder.py:unimatch,split=seeded:1/4 --config.data.dir=FOLDER`.

The folder holds images/{train,val,test}/ and masks/{train,val,test}/ (README, 'Your own images').
MobileNetV2 with torchvision's padding; `--config.model.pretrained=FILE` for its ImageNet weights.
"""

from s4mim_jax.config import base, compose


def get_config(argument=None):
    config = base()
    config.data.name = 'folder'
    config.data.crop = (256, 256)
    config.model.encoder = 'mobilenet_v2'
    config.model.decoder_width = 128
    config.optimizer.update(learning_rate=5e-4, head_multiplier=4.0, weight_decay=0.01)
    config.total_steps = 4000
    config.eval.every = 500
    config.eval.multiple = 32  # photographs of many sizes share compiled programs
    config.checkpoint.every = 250
    return compose(config, argument, __file__)
