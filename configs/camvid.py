"""CamVid: 11 classes of driving scenes at 180 x 240, crops of 128 x 160, ImageNet MobileNetV2.

`--config=configs/camvid.py:unimatch,split=1_16`; images and splits as `folder` or the original
`train/ trainannot/` layout. The runs of the README add ImageNet weights and hold their statistics:
`--config.model.pretrained=FILE --config.model.freeze_norm=true`.
"""

from s4mim_jax.config import base, compose


def get_config(argument=None):
    config = base()
    config.data.name = 'camvid'
    config.data.split = '1_16'
    config.data.resize = (180, 240)
    config.data.crop = (128, 160)
    config.model.encoder = 'mobilenet_v2'
    config.model.padding = 'same'
    config.model.decoder_width = 64
    config.model.low_level_width = 24
    config.model.aspp_rates = (2, 4, 6)  # below the side of the map, 8 x 10 at stride 16
    config.optimizer.update(learning_rate=5e-4, head_multiplier=4.0, weight_decay=0.01)
    config.total_steps = 2500
    config.eval.every = 250
    config.checkpoint.every = 250
    return compose(config, argument, __file__)
