"""DeepLabV3+ decoder (Chen et al. 2018) in the layout of the UniMatch repository.

A ViT has no map of stride 4: the earliest of its maps is reduced and then resized to it.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn

from s4mim_jax.config.encoder_sizes import PATCHES, feature_stride
from s4mim_jax.models import extent
from s4mim_jax.models.conv import Conv
from s4mim_jax.models.layers import ConvNorm, Style
from s4mim_jax.models.resize import resize_bilinear, resize_to_stride


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling with image pooling: [B, h, w, C] -> [B, h, w, features]."""

    features: int
    rates: tuple[int, ...]
    style: Style

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        branches = [ConvNorm(self.features, 1, self.style, name='point')(x, train)]
        for i, rate in enumerate(self.rates):
            branches.append(ConvNorm(self.features, 3, self.style, dilation=rate,
                                     name=f'atrous{i + 1}')(x, train))
        pooled = extent.mean(x).astype(x.dtype)
        pooled = ConvNorm(self.features, 1, self.style, name='pooling')(pooled, train)
        branches.append(jnp.broadcast_to(pooled, branches[0].shape))
        return ConvNorm(self.features, 1, self.style, name='project')(jnp.concatenate(branches, -1), train)


class DeepLabV3Plus(nn.Module):
    """Encoder maps (low, ..., high) -> logits float32 [B, h, w, num_classes] at stride 4, the size of low.

    patch: of a ViT, whose maps are all of stride `patch`; None = low has stride 4 already.
    """

    num_classes: int
    features: int
    low_level_features: int
    rates: tuple[int, ...]
    style: Style
    align_corners: bool = False
    patch: int | None = None

    @nn.compact
    def __call__(self, maps: tuple[jax.Array, ...], train: bool) -> jax.Array:
        low, high = maps[0], maps[-1]
        high = ASPP(self.features, self.rates, self.style, name='aspp')(high, train)
        low = ConvNorm(self.low_level_features, 1, self.style, name='reduce')(low, train)
        if self.patch is not None:
            low = resize_to_stride(low, self.patch, 4, self.align_corners).astype(self.style.dtype)
        high = resize_bilinear(high, low.shape[1:3], self.align_corners).astype(self.style.dtype)
        x = jnp.concatenate([low, high], -1)
        x = ConvNorm(self.features, 3, self.style, name='fuse1')(x, train)
        x = ConvNorm(self.features, 3, self.style, name='fuse2')(x, train)
        # float32 here, so that resizing and the loss see logits of full precision.
        return Conv(self.num_classes, 1, use_bias=True, dtype=jnp.float32,
                    platform=self.style.platform, name='classifier')(x)


def without_reach(model_config, crop: tuple[int, int]) -> tuple[int, ...]:
    """The ASPP rates that are not below the shorter side of the map of a training crop (ours).

    All but the centre of such a branch's taps read padding in training, so they keep the values they were drawn with
    and read pixels at last in evaluation, where images are larger.
    """
    if model_config.decoder != 'deeplabv3plus':
        return ()
    side = min(-(-n // feature_stride(model_config)) for n in crop)
    return tuple(rate for rate in model_config.aspp_rates if rate >= side)


def deeplabv3plus(model_config, num_classes: int, style: Style) -> DeepLabV3Plus:
    """The decoder that `model_config` (config.model) describes."""
    return DeepLabV3Plus(num_classes, model_config.decoder_width, model_config.low_level_width,
                         tuple(model_config.aspp_rates), style, model_config.align_corners,
                         PATCHES.get(model_config.encoder), name='decoder')
