"""A network of one layer that costs nothing to compile, for tests of what stands around a network."""

import jax.numpy as jnp
import numpy as np

from s4mim_jax.models import Outputs, resize_bilinear
from s4mim_jax.parallel import Collectives
from s4mim_jax.training.forward import forward_pass
from s4mim_jax.training.passes import passes_of
from s4mim_jax.views import build
from s4mim_jax.views.randomness import StepRandomness

CLASSES = 5


class PixelModel:
    """Scores of every `stride`-th pixel, less a mean as in BatchNorm: the batch's in training, else a kept one."""

    def __init__(self, stride=4, align_corners=False):
        self.stride, self.align_corners = stride, align_corners

    def apply(self, variables, images, train=False, perturb=None, mutable=()):
        mean = jnp.mean(images, (0, 1, 2)) if train else variables['batch_stats']['mean']
        features = (images,) if perturb is None else perturb((images,))
        coarse = (features[0][:, ::self.stride, ::self.stride] - mean) @ variables['params']['encoder']['kernel']
        outputs = Outputs(resize_bilinear(coarse, images.shape[1:3], self.align_corners), coarse, (images,))
        return (outputs, {'batch_stats': {'mean': mean}}) if mutable else outputs


def random_variables(seed):
    draw = np.random.default_rng(seed)
    return {'params': {'encoder': {'kernel': jnp.asarray(draw.normal(size=(3, CLASSES)), jnp.float32)}},
            'batch_stats': {'mean': jnp.asarray(draw.normal(size=3), jnp.float32)}}


def compose(monkeypatch, config, variables, teacher, batch):
    """The first step's forward, without photometric changes, which would take most of the time."""
    monkeypatch.setattr(build, 'photometric', lambda keys, images, config, shards: images)
    return forward_pass(PixelModel(), config, passes_of(config.method), Collectives(), variables, teacher, batch,
                         StepRandomness(config.seed, 0))[0]
