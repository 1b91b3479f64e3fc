"""A linear head: norm and one 1x1 convolution on the encoder's last map, for frozen encoders and for comparisons.

As in DINOv2's and DINOv3's linear segmentation: BatchNorm without anything learned behind it but the classifier.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from s4mim_jax.models.conv import Conv
from s4mim_jax.models.layers import Style
from s4mim_jax.models.norm import Norm


class LinearHead(nn.Module):
    """Encoder maps -> logits float32 [B, h, w, num_classes] at the size of the last map."""

    num_classes: int
    style: Style

    @nn.compact
    def __call__(self, maps: tuple[jax.Array, ...], train: bool) -> jax.Array:
        x = Norm(self.style.norm, axis_name=self.style.axis_name, dtype=jnp.float32, name='norm')(maps[-1], train)
        # float32 here, so that resizing and the loss see logits of full precision.
        return Conv(self.num_classes, 1, use_bias=True, dtype=jnp.float32, platform=self.style.platform,
                    name='classifier')(x)


def linear(model_config, num_classes: int, style: Style) -> LinearHead:
    """The decoder that `model_config` (config.model) describes; it has no settings of its own."""
    del model_config
    return LinearHead(num_classes, style, name='decoder')
