"""ResNet encoders (He et al. 2016) for segmentation: stems, output strides and widths.

Strides go as in torchvision and the repositories of the field: the 3x3 convolution of a bottleneck
carries it. Where the output stride stops the shrinking, a stride becomes a dilation of everything
after it, so the features at every other pixel stay those of the strided network.
"""

import jax
from flax import linen as nn

from s4mim_jax.config.errors import InputError
from s4mim_jax.models.conv import max_pool
from s4mim_jax.models.layers import ConvNorm, Style, block

# name -> (blocks per stage, bottleneck?)
RESNETS = {
    'resnet18': ((2, 2, 2, 2), False),
    'resnet34': ((3, 4, 6, 3), False),
    'resnet50': ((3, 4, 6, 3), True),
    'resnet101': ((3, 4, 23, 3), True),
}
STEMS = ('7x7', 'deep', 'small')


class ResNetBlock(nn.Module):
    """Residual block, basic or bottleneck; x [B, H, W, C] -> [B, H/stride, W/stride, C'].

    `dilation` is the pair (of the layer that carries the stride, of the layers after it).
    """

    features: int
    bottleneck: bool
    style: Style
    stride: int = 1
    dilation: tuple[int, int] = (1, 1)

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        first, second = self.dilation
        width = self.features * (4 if self.bottleneck else 1)
        shortcut = x
        if self.stride > 1 or x.shape[-1] != width:
            shortcut = ConvNorm(width, 1, self.style, self.stride, activation=None,
                                name='shortcut')(x, train)
        if self.bottleneck:
            y = ConvNorm(self.features, 1, self.style, name='conv1')(x, train)
            y = ConvNorm(self.features, 3, self.style, self.stride, first, name='conv2')(y, train)
            y = ConvNorm(width, 1, self.style, activation=None, name='conv3')(y, train)
        else:
            y = ConvNorm(width, 3, self.style, self.stride, first, name='conv1')(x, train)
            y = ConvNorm(width, 3, self.style, 1, second, activation=None, name='conv2')(y, train)
        return jax.nn.relu(y + shortcut)


class ResNet(nn.Module):
    """Images [B, H, W, 3] -> (low [B, H/4, W/4, C1], high [B, H/s, W/s, C4]), s = output_stride.

    With `pyramid` one map per stride 2, 4, .. s: the stem's, then the last stage's of each stride.
    stem '7x7' is the published one, 'deep' three 3x3 convolutions w, w, 2w wide; w = width (64 in
    the published networks), the stages have w, 2w, 4w, 8w (times 4 with bottlenecks). 'small' (ours) is for images of
    some hundred pixels, whose objects are few positions wide at stride 16: one 3x3 convolution of stride 2 and no
    pooling, so that every stage works at twice the published resolution; its fourth stage reaches stride 16.
    multi_grid: factors of the dilations of the last stage's blocks (DeepLabv3), as in S4MC's network: the
    first block, which torchvision gives the dilation before its stride, has its factor on that one.
    """

    blocks: tuple[int, ...]
    bottleneck: bool
    style: Style
    stem: str = '7x7'
    output_stride: int = 16
    width: int = 64
    pyramid: bool = False
    multi_grid: tuple[int, ...] | None = None

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        x = images
        if self.stem == 'deep':
            for i, (stride, factor) in enumerate(((2, 1), (1, 1), (1, 2))):
                x = ConvNorm(factor * self.width, 3, self.style, stride, name=f'stem{i + 1}')(x, train)
        else:
            kernel = 3 if self.stem == 'small' else 7
            x = ConvNorm(self.width, kernel, self.style, 2, name='stem1')(x, train)
        maps, reached = {2: x}, 2  # maps: stride -> map
        if self.stem != 'small':
            x, reached = max_pool(x, 3, 2, self.style.padding, self.style.platform), 4
        make, dilation = block(ResNetBlock, self.style), 1
        for stage, count in enumerate(self.blocks):
            stride, before = (1 if stage == 0 else 2), dilation
            if reached * stride > self.output_stride:
                stride, dilation = 1, dilation * stride
            reached *= stride
            last = stage == len(self.blocks) - 1
            for i, grid in enumerate(self.multi_grid if self.multi_grid and last else (1,) * count):
                first = i == 0
                x = make(self.width * 2 ** stage, self.bottleneck, self.style, stride if first else 1,
                         (grid * (before if first else dilation), grid * dilation),
                         name=f'stage{stage + 1}_block{i + 1}')(x, train)
            maps[reached] = x
        return tuple(maps.values()) if self.pyramid else (maps[4], x)


def resnet(name: str, model_config, style: Style, pyramid: bool = False) -> ResNet:
    """The encoder that `model_config` (config.model) describes."""
    blocks, bottleneck = RESNETS[name]
    return ResNet(blocks, bottleneck, style, stem=model_config.stem, width=model_config.width,
                  output_stride=model_config.output_stride, pyramid=pyramid,
                  multi_grid=tuple(model_config.multi_grid) if model_config.multi_grid else None, name='encoder')


def validate(model_config) -> None:
    """Raises InputError for a `multi_grid` that does not name every block of a ResNet's last stage."""
    grid, encoder = model_config.multi_grid, model_config.encoder
    if grid is None:
        return
    if encoder not in RESNETS:
        raise InputError(f'config.model.multi_grid={tuple(grid)} is for ResNets; config.model.encoder={encoder} is '
                         'none\nvalid: None')
    count = RESNETS[encoder][0][-1]
    if len(grid) != count or not all(isinstance(factor, int) and factor > 0 for factor in grid):
        raise InputError(f'config.model.multi_grid={tuple(grid)}: the last stage of {encoder} has {count} blocks\n'
                         f'valid: None, or {count} positive integers, as {(1, 2, 4)[:count]}')
