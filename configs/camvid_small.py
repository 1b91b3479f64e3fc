"""CamVid at 120 x 160, crops of 96 x 128, 750 steps: the photographs of docs/evidence.md, minutes a run on one core.

`--config=configs/camvid_small.py:fixmatch,split=1_30 --config.model.pretrained=FILE --config.model.freeze_norm=true`,
ImageNet weights of MobileNetV2 whose BatchNorm is held at its statistics: eight small crops make poor ones.
"""

from s4mim_jax.config import base, compose


def get_config(argument=None):
    config = base()
    config.data.update(name='camvid', split='1_30', resize=(120, 160), crop=(96, 128))
    config.model.update(encoder='mobilenet_v2', padding='same', decoder_width=64, low_level_width=24,
                        aspp_rates=(1, 2, 3))  # below the sides of the map, 6 x 8 at stride 16
    config.optimizer.update(learning_rate=5e-4, head_multiplier=4.0, weight_decay=0.01, schedule='cosine',
                            warmup_steps=100)
    config.total_steps = 750
    config.eval.every = config.checkpoint.every = 250
    config.log.every = 100
    return compose(config, argument, __file__)
