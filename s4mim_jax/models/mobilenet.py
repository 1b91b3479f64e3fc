"""MobileNetV2 1.0 (Sandler et al. 2018) as an encoder, with torchvision's structure.

It ends with the 320 channels of the last inverted residual (torchvision's features.17): the
1x1 convolution to 1280 channels behind it (features.18) serves the classifier and is not built.
"""

import jax
from flax import linen as nn

from s4mim_jax.models.layers import ConvNorm, Style, block

# (expansion, channels, blocks, stride) of each stage: Table 2 of the paper.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
          (6, 320, 1, 1))


class InvertedResidual(nn.Module):
    """Expand (1x1), depthwise 3x3, project (1x1, linear): [B, H, W, C] -> [B, H/stride, W/stride, C']."""

    features: int
    expansion: int
    style: Style
    stride: int = 1
    dilation: int = 1
    residual: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y, wide = x, x.shape[-1] * self.expansion
        if self.expansion != 1:
            y = ConvNorm(wide, 1, self.style, activation='relu6', name='expand')(y, train)
        y = ConvNorm(wide, 3, self.style, self.stride, self.dilation, depthwise=True,
                     activation='relu6', name='depthwise')(y, train)
        y = ConvNorm(self.features, 1, self.style, activation=None, name='project')(y, train)
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """Images [B, H, W, 3] -> (low [B, H/4, W/4, 24], high [B, H/s, W/s, 320]), s = output_stride.

    With `pyramid` one map per stride 2, 4, .. s: the last stage's of each stride.
    """

    style: Style
    output_stride: int = 16
    pyramid: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        x = ConvNorm(32, 3, self.style, 2, activation='relu6', name='stem')(images, train)
        make = block(InvertedResidual, self.style)
        maps, reached, dilation, number = {}, 2, 1, 0  # maps: stride -> map
        for expansion, features, count, stage_stride in STAGES:
            stride, before = stage_stride, dilation
            if reached * stride > self.output_stride:
                # As in torchvision's ResNets: the layer that lost its stride keeps the old dilation.
                stride, dilation = 1, dilation * stride
            reached *= stride
            for i in range(count):
                number += 1
                x = make(features, expansion, self.style, stride if i == 0 else 1,
                         before if i == 0 else dilation, residual=i > 0, name=f'block{number}')(x, train)
            maps[reached] = x
        return tuple(maps.values()) if self.pyramid else (maps[4], x)


def mobilenet_v2(name: str, model_config, style: Style, pyramid: bool = False) -> MobileNetV2:
    """The encoder that `model_config` (config.model) describes; `stem` and `width` are not its own."""
    del name
    return MobileNetV2(style, output_stride=model_config.output_stride, pyramid=pyramid, name='encoder')
