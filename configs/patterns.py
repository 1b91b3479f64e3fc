"""patterns: pictures drawn by the package, none of whose figures and textures `shapes` has. They make a start for it.

    python -m s4mim_jax.train --config=configs/patterns.py --workdir=DIR
"""

from s4mim_jax.config import base, compose


def get_config(argument=None):
    config = base()
    config.data.update(name='patterns', split='all', crop=(64, 64), scale=(0.6, 1.6))
    # The finest map is of stride 2: wires of `shapes` are 2 to 4 pixels wide.
    config.model.update(encoder='resnet18', width=16, decoder='unet', unet_widths=(64, 32, 16))
    config.batch.update(labeled=16, unlabeled=16)
    config.optimizer.update(learning_rate=3e-3, reference_batch=16, schedule='cosine', warmup_steps=200)
    config.total_steps = 6000
    config.eval.every = config.checkpoint.every = 1500
    return compose(config, argument, __file__, default='supervised')
