"""MaskSup as published (arXiv 2210.00923, released code): U-Net from scratch, 224 x 224 by plain resizing.

No augmentation, inputs with mean and deviation 0.5, batch 8, Adam with amsgrad at 1e-4, weight decay 1e-5, constant
rate; the paper trains 199 epochs (`total_steps` = 199 * images / 8). `configs/folder.py:masksup_unet,split=all`.
With `data.channels` set after the method, set `data.mean` and `data.std` too.
"""


def apply(config):
    config.method.update(supervised=1.0, masked_supervision=1.0, similarity=1.0)
    config.method.masks.x_kind = 'freeform'
    config.model.update(encoder='unet', decoder='unet', output_stride=16, unet_widths=(512, 256, 128, 64),
                        pretrained=None)
    config.data.update(resize=(224, 224), crop=(224, 224), scale=(1.0, 1.0), flip=False,
                       mean=(0.5,) * config.data.channels, std=(0.5,) * config.data.channels)
    config.batch.labeled = 8
    config.optimizer.update(name='amsgrad', learning_rate=1e-4, reference_batch=8, head_multiplier=1.0,
                            weight_decay=1e-5, schedule='constant')
