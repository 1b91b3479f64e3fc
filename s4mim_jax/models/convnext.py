"""ConvNeXt (Liu et al. 2022, arXiv 2201.03545) as DINOv3 distilled it, as an encoder of strides 4, 8, 16 and 32.

Equal to the released networks where sides are multiples of 32; other sides are filled up with zeros, so that a map of
stride s has ceil(H / s) rows as in every other encoder. Where `model.output_stride` stops the shrinking, a stride
becomes a dilation of everything after it: features at every other pixel stay those of the strided network.
`model.stem, width, padding, norm` are not its own: it has LayerNorm (epsilon 1e-6), exact GELU and LayerScale.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from s4mim_jax.config.encoder_sizes import CONVNEXTS
from s4mim_jax.config.errors import InputError
from s4mim_jax.models.conv import WITHOUT_NORM, Conv
from s4mim_jax.models.layers import Style
from s4mim_jax.models.vit import Linear, PatchEmbed, layer_norm

# name -> (blocks a stage, width of the first stage; it doubles)
SIZES = dict(zip(CONVNEXTS, (((3, 3, 9, 3), 96), ((3, 3, 27, 3), 96), ((3, 3, 27, 3), 128), ((3, 3, 27, 3), 192)),
                 strict=True))
EPSILON = 1e-6
SCALE = 1e-6  # LayerScale begins so


def filled_up(x: jax.Array, multiple: int) -> jax.Array:
    """[B, H, W, C] with zeros at the bottom and the right, so that both sides are multiples."""
    rows, columns = (-n % multiple for n in x.shape[1:3])
    return jnp.pad(x, ((0, 0), (0, rows), (0, columns), (0, 0))) if rows or columns else x


class Block(nn.Module):
    """x + scale * mlp(norm(depthwise 7x7 of x)): [B, H, W, C] -> the same."""

    style: Style
    dilation: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels, dtype = x.shape[-1], self.style.dtype
        y = Conv(channels, 7, dilation=self.dilation, depthwise=True, use_bias=True, dtype=dtype,
                 platform=self.style.platform, name='depthwise')(x)
        y = Linear(4 * channels, dtype, name='fc1')(layer_norm('norm', dtype, EPSILON)(y))
        y = Linear(channels, dtype, name='fc2')(jax.nn.gelu(y, approximate=False))
        scale = self.param('scale', nn.initializers.constant(SCALE), (channels,), jnp.float32)
        return x + scale.astype(dtype) * y


class Shrink(nn.Module):
    """Norm, then a 2x2 convolution: of stride 2 [B, H, W, C] -> [B, ceil(H/2), ceil(W/2), features].

    dilation: of a convolution that has lost its stride, which keeps H and W; 0 = it has the stride.
    Parameters, float32: of the norm; kernel [2, 2, C, features], bias [features].
    """

    features: int
    style: Style
    dilation: int = 0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dtype = self.style.dtype
        x = layer_norm('norm', dtype, EPSILON)(x)
        if self.dilation:
            return DilatedPair(self.features, self.dilation, dtype, name='conv')(x)
        return PatchEmbed(self.features, dtype, 2, name='conv')(filled_up(x, 2))


class DilatedPair(nn.Module):
    """The 2x2 convolution at every position, its second taps `dilation` pixels further; parameters of PatchEmbed."""

    features: int
    dilation: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        (_, height, width, channels), d = x.shape, self.dilation
        kernel = self.param('kernel', WITHOUT_NORM, (2, 2, channels, self.features), jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, (self.features,), jnp.float32)
        padded = jnp.pad(x, ((0, 0), (0, d), (0, d), (0, 0)))
        taps = [padded[:, i * d:i * d + height, j * d:j * d + width] for i in range(2) for j in range(2)]
        matrix = kernel.reshape(-1, self.features).astype(self.dtype)
        return jnp.concatenate(taps, -1) @ matrix + bias.astype(self.dtype)


class ConvNeXt(nn.Module):
    """Images [B, H, W, 3] -> (low [B, H/4, W/4, C1], high [B, H/s, W/s, C4]), s = output_stride.

    With `pyramid` one map per stride 4, 8, .. s: the last stage's of each. The last map goes through the final norm, as
    in the release's dense features.
    """

    blocks: tuple[int, ...]
    width: int
    style: Style
    output_stride: int = 32
    pyramid: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        del train  # no layer of it behaves differently
        dtype, make = self.style.dtype, nn.remat(Block) if self.style.remat else Block
        x = PatchEmbed(self.width, dtype, 4, name='stem')(filled_up(images, 4))
        x = layer_norm('stem_norm', dtype, EPSILON)(x)
        maps, reached, dilation = {}, 4, 1  # maps: stride -> map
        for stage, count in enumerate(self.blocks):
            if stage:
                strided = reached * 2 <= self.output_stride
                x = Shrink(self.width * 2 ** stage, self.style, 0 if strided else dilation,
                           name=f'shrink{stage + 1}')(x)
                reached, dilation = (reached * 2, dilation) if strided else (reached, dilation * 2)
            for i in range(count):
                x = make(self.style, dilation, name=f'stage{stage + 1}_block{i + 1}')(x)
            maps[reached] = x
        x = maps[reached] = layer_norm('norm', dtype, EPSILON)(x)
        return tuple(maps.values()) if self.pyramid else (maps[4], x)


def convnext(name: str, model_config, style: Style, pyramid: bool = False) -> ConvNeXt:
    """The encoder that `model_config` (config.model) describes."""
    blocks, width = SIZES[name]
    return ConvNeXt(blocks, width if model_config.width == 64 else model_config.width, style,
                    output_stride=model_config.output_stride, pyramid=pyramid, name='encoder')


def validate(model_config) -> None:
    """Raises InputError for keys that ConvNeXt has no use for."""
    if model_config.encoder in CONVNEXTS and model_config.freeze_norm:
        raise InputError('config.model.freeze_norm=True holds BatchNorm; '
                         f'config.model.encoder={model_config.encoder} has none, its LayerNorm keeps no statistics\n'
                         'valid: False')
