"""U-Net (Ronneberger et al. 2015): the contracting path as an encoder, the expanding one as a decoder.

Encoder 'unet' with decoder 'unet' is the network of MaskSup's experiments (arXiv 2210.00923): padded
convolutions, BatchNorm, 64 to 1024 channels, logits at the image's own resolution. Unlike its code,
convolutions in front of a norm have no bias, which the norm would take out again. With another
encoder the decoder stops at that encoder's finest map, stride 2, and the network resizes the rest.
A ViT has four maps of one size; each is projected to its step's width and resized to stride 2, 4, 8, 16,
early blocks for the fine ones.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from s4mim_jax.config.encoder_sizes import CONVNEXTS, PATCHES
from s4mim_jax.models.conv import Conv, convolve, max_pool
from s4mim_jax.models.layers import ConvNorm, Style, block
from s4mim_jax.models.resize import resize_to_stride

# PyTorch's default for a transposed convolution, whose fan_in counts the outputs.
UP_INITIAL = nn.initializers.variance_scaling(1 / 3, 'fan_out', 'uniform')


class DoubleConv(nn.Module):
    """Two times 3x3 convolution, norm, ReLU: [B, H, W, C] -> [B, H, W, features]."""

    features: int
    style: Style

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = ConvNorm(self.features, 3, self.style, name='conv1')(x, train)
        return ConvNorm(self.features, 3, self.style, name='conv2')(x, train)


class UpConv(nn.Module):
    """k x k convolution transposed with stride k: [B, h, w, C] -> [B, kh, kw, features].

    Parameters, float32: kernel [k, k, C, features], bias [features]. Output (k y + i, k x + j) is
    input (y, x) times kernel[i, j]: every output has one input.
    """

    features: int
    style: Style
    factor: int = 2  # k

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        (b, h, w, inputs), features, k = x.shape, self.features, self.factor
        kernel = self.param('kernel', UP_INITIAL, (k, k, inputs, features), jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, (features,), jnp.float32)
        # No two taps overlap, so all are one 1x1 convolution, sorted into place afterwards.
        taps = kernel.transpose(2, 0, 1, 3).reshape(1, 1, inputs, k * k * features)
        dtype = self.style.dtype
        x = convolve(x.astype(dtype), taps.astype(dtype), platform=self.style.platform)
        x = x.reshape(b, h, w, k, k, features).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(b, k * h, k * w, features) + bias.astype(dtype)


class UNetEncoder(nn.Module):
    """Images [B, H, W, 3] -> maps [B, H/s, W/s, C] at s = 1, 2, 4, .. if `pyramid`, else low (4) and high.

    widths: channels C per level, fine to coarse; a level more halves the map once more.
    """

    widths: tuple[int, ...]
    style: Style
    pyramid: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        x, maps, make = images, [], block(DoubleConv, self.style)
        for level, width in enumerate(self.widths):
            if level:
                # 'same' in either style: the odd row of an odd map is pooled alone and not lost, so
                # maps have the sizes that every other encoder gives them.
                x = max_pool(x, 2, 2, 'same', self.style.platform)
            x = make(width, self.style, name=f'level{level + 1}')(x, train)
            maps.append(x)
        return tuple(maps) if self.pyramid else (maps[2], maps[-1])


class UNetDecoder(nn.Module):
    """Maps, fine to coarse, each half the one before -> logits float32 [B, h, w, num_classes] of the finest.

    widths: channels per up-step, coarse to fine. With fewer steps the last widths are taken, so that
    a resolution keeps its width whatever the output stride. patch: of a ViT, whose maps are made a
    pyramid first; None = they are one. align_corners: convention of that.
    """

    num_classes: int
    widths: tuple[int, ...]
    style: Style
    patch: int | None = None
    align_corners: bool = False

    @nn.compact
    def __call__(self, maps: tuple[jax.Array, ...], train: bool) -> jax.Array:
        *skips, x = maps if self.patch is None else self._pyramid(maps, train)
        make = block(DoubleConv, self.style)
        for i, (skip, width) in enumerate(zip(skips[::-1], self.widths[-len(skips):], strict=True)):
            x = UpConv(width, self.style, name=f'up{i + 1}')(x)
            x = x[:, :skip.shape[1], :skip.shape[2]]  # halving an odd size rounded up
            x = make(width, self.style, name=f'fuse{i + 1}')(jnp.concatenate([x, skip], -1), train)
        # float32 here, so that resizing and the loss see logits of full precision.
        return Conv(self.num_classes, 1, use_bias=True, dtype=jnp.float32,
                    platform=self.style.platform, name='classifier')(x)

    def _pyramid(self, maps, train):
        """Maps of one size -> strides 2, 4, ..; the coarsest is twice as wide as the first step, as published."""
        steps = self.widths[-(len(maps) - 1):]
        levels = []
        for i, (x, width) in enumerate(zip(maps, (*steps[::-1], 2 * steps[0]), strict=True)):
            # Projected before it is resized: the same linear map, at a fraction of the pixels.
            x = ConvNorm(width, 1, self.style, activation=None, name=f'project{i + 1}')(x, train)
            levels.append(resize_to_stride(x, self.patch, 2 ** (i + 1), self.align_corners).astype(self.style.dtype))
        return levels


def up_steps(encoder: str, output_stride: int) -> int:
    """Up-steps from an encoder's coarsest map to its finest: of stride 1 for 'unet', 4 for ConvNeXt and else 2."""
    halvings = 4 if encoder in PATCHES else output_stride.bit_length() - 1
    if encoder in CONVNEXTS:
        return halvings - 2
    return halvings if encoder == 'unet' else halvings - 1


def unet_encoder(name: str, model_config, style: Style, pyramid: bool = False) -> UNetEncoder:
    """The encoder that `model_config` (config.model) describes; `stem` and `width` are not its own.

    It mirrors the decoder's widths; the coarsest map has twice the widest of them, as published.
    """
    widths = tuple(model_config.unet_widths)[-up_steps(name, model_config.output_stride):]
    return UNetEncoder((*widths[::-1], 2 * widths[0]), style, pyramid, name='encoder')


def unet_decoder(model_config, num_classes: int, style: Style) -> UNetDecoder:
    """The decoder that `model_config` (config.model) describes; it needs an encoder's whole pyramid."""
    return UNetDecoder(num_classes, tuple(model_config.unet_widths), style, PATCHES.get(model_config.encoder),
                       model_config.align_corners, name='decoder')
