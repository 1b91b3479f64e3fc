"""DPT decoder (Ranftl et al. 2021) in the layout of UniMatch V2: reassembled maps, fused from coarse to fine.

A ViT's four maps of one stride, its patch, are brought to a quarter, a half, once and twice of it by learned layers.
Encoders with maps of several strides give theirs from stride 4 on as they are (two at output stride 8, three at 16,
four at 32), so there is nothing to resize.
"""

import jax
from flax import linen as nn

from s4mim_jax.config.encoder_sizes import PATCHES
from s4mim_jax.config.errors import InputError
from s4mim_jax.models.conv import Conv
from s4mim_jax.models.layers import Style
from s4mim_jax.models.resize import resize_bilinear
from s4mim_jax.models.unet import UpConv

# (features, channels of the projected maps, fine to coarse) of the published decoders. Convolutional
# encoders (ours) take those of the ViT nearest in width, as many as they have maps.
SMALL, BASE, LARGE = (64, (48, 96, 192, 384)), (128, (96, 192, 384, 768)), (256, (256, 512, 1024, 1024))
WIDTHS = {
    'dinov2_vits14': SMALL, 'dinov2_vitb14': BASE, 'dinov2_vitl14': LARGE,
    'dinov2_vitg14': (384, (1536, 1536, 1536, 1536)),
    'mobilenet_v2': SMALL, 'resnet18': SMALL, 'resnet34': SMALL, 'unet': SMALL,
    'resnet50': BASE, 'resnet101': BASE,
    'dinov3_vits16': SMALL, 'dinov3_vits16plus': SMALL, 'dinov3_vitb16': BASE, 'dinov3_vitl16': LARGE,
    'dinov3_vith16plus': LARGE,
    'dinov3_convnext_tiny': BASE, 'dinov3_convnext_small': BASE, 'dinov3_convnext_base': BASE,
    'dinov3_convnext_large': LARGE,
}


class ResidualUnit(nn.Module):
    """x + conv(relu(conv(relu(x)))): [B, h, w, C] -> the same."""

    style: Style

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = _conv(x.shape[-1], 3, self.style, 'conv1')(jax.nn.relu(x))
        return x + _conv(x.shape[-1], 3, self.style, 'conv2')(jax.nn.relu(y))


class Fusion(nn.Module):
    """What comes from below joined with the own map, refined and resized: [B, h, w, C] -> [B, *size, C].

    The coarsest map has nothing below it, and one unit only.
    """

    style: Style
    align_corners: bool

    @nn.compact
    def __call__(self, own: jax.Array, below: jax.Array | None, size: tuple[int, int]) -> jax.Array:
        x = own if below is None else below + ResidualUnit(self.style, name='unit1')(own)
        x = ResidualUnit(self.style, name='unit2')(x)
        # Published the other way round. The weights of a resize sum to one, so the 1x1 convolution and its
        # bias commute with it, and here it has a quarter of the pixels.
        x = _conv(x.shape[-1], 1, self.style, 'out')(x)
        return resize_bilinear(x, size, self.align_corners).astype(self.style.dtype)


class DPT(nn.Module):
    """Encoder maps -> logits float32 [B, h, w, num_classes] at twice the size of the finest map that is fused.

    With a ViT that is 8 / patch of the image; with others a half. channels: one a map, the last maps of the
    encoder, fine to coarse. reassemble: bring the four maps of a ViT to four sizes.
    """

    num_classes: int
    features: int
    channels: tuple[int, ...]
    reassemble: bool
    style: Style
    align_corners: bool = False

    @nn.compact
    def __call__(self, maps: tuple[jax.Array, ...], train: bool) -> jax.Array:
        del train  # it has no norm
        levels = []
        for i, (x, width) in enumerate(zip(maps[-len(self.channels):], self.channels, strict=True), start=1):
            x = _conv(width, 1, self.style, f'project{i}')(x)
            if self.reassemble and i < 3:
                x = UpConv(width, self.style, {1: 4, 2: 2}[i], name=f'resize{i}')(x)
            elif self.reassemble and i == 4:
                x = _conv(width, 3, self.style, 'resize4', stride=2)(x)
            levels.append(Conv(self.features, 3, dtype=self.style.dtype, platform=self.style.platform,
                               before_norm=False, name=f'reduce{i}')(x))
        x = None
        for i in range(len(levels), 0, -1):
            own = levels[i - 1]
            size = levels[i - 2].shape[1:3] if i > 1 else tuple(2 * n for n in own.shape[1:3])
            x = Fusion(self.style, self.align_corners, name=f'fuse{i}')(own, x, size)
        x = jax.nn.relu(_conv(self.features, 3, self.style, 'head1')(x))
        # float32 here, so that resizing and the loss see logits of full precision.
        return Conv(self.num_classes, 1, use_bias=True, dtype=jax.numpy.float32,
                    platform=self.style.platform, name='classifier')(x)


def _conv(features: int, kernel: int, style: Style, name: str, stride: int = 1) -> Conv:
    """With bias and PyTorch's padding: `model.padding` is about encoders, and weights know this one."""
    return Conv(features, kernel, stride, use_bias=True, dtype=style.dtype, platform=style.platform, name=name)


def dpt(model_config, num_classes: int, style: Style) -> DPT:
    """The decoder that `model_config` (config.model) describes; it needs an encoder's whole pyramid."""
    features, channels = widths(model_config)
    return DPT(num_classes, features, channels, model_config.encoder in PATCHES, style,
               model_config.align_corners, name='decoder')


def widths(model_config) -> tuple[int, tuple[int, ...]]:
    """(features, channels a map): the encoder's own, or `model.dpt_features`, `model.dpt_channels`."""
    features, channels = WIDTHS[model_config.encoder]
    given = model_config.dpt_channels
    return model_config.dpt_features or features, tuple(given or channels)[:maps_used(model_config)]


def maps_used(model_config) -> int:
    """Maps that are fused: those from stride 4 on, or the four of a ViT."""
    return 4 if model_config.encoder in PATCHES else model_config.output_stride.bit_length() - 2


def validate(model_config) -> None:
    """Raises InputError for widths that are not positive, or too few."""
    features, channels, needed = model_config.dpt_features, model_config.dpt_channels, maps_used(model_config)
    if features is not None and features < 1:
        raise InputError(f'config.model.dpt_features={features} must be at least 1')
    if channels is None:
        return
    if len(channels) < needed or not all(isinstance(width, int) and width > 0 for width in channels):
        raise InputError(f'config.model.dpt_channels={tuple(channels)}: {model_config.encoder} gives {needed} maps to '
                         f'fuse\nvalid: None, or {needed} positive integers or more, fine to coarse')
