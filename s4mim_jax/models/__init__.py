"""Networks: `build(config.model, num_classes)` gives an encoder with a decoder."""

import dataclasses

import jax
import jax.numpy as jnp

from s4mim_jax.config.encoder_sizes import feature_stride, size_multiple
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.precision import compute_dtype
from s4mim_jax.models import convnext as convnext_module
from s4mim_jax.models import dinov3 as dinov3_module
from s4mim_jax.models import dpt as dpt_module
from s4mim_jax.models import resnet as resnet_module
from s4mim_jax.models import vit as vit_module
from s4mim_jax.models.deeplabv3plus import deeplabv3plus
from s4mim_jax.models.initial import init_variables
from s4mim_jax.models.layers import Style
from s4mim_jax.models.linear_head import linear
from s4mim_jax.models.mobilenet import mobilenet_v2
from s4mim_jax.models.resize import resize_bilinear
from s4mim_jax.models.resnet import RESNETS, STEMS
from s4mim_jax.models.segmenter import Outputs, Segmenter
from s4mim_jax.models.unet import unet_decoder, unet_encoder, up_steps

__all__ = ['DECODERS', 'ENCODERS', 'Outputs', 'Segmenter', 'build', 'build_model', 'feature_channels',
           'feature_stride', 'init_variables', 'resize_bilinear', 'size_multiple', 'validate']

ENCODERS = {'mobilenet_v2': mobilenet_v2, **dict.fromkeys(RESNETS, resnet_module.resnet),
            **dict.fromkeys(vit_module.VITS, vit_module.vit),
            **dict.fromkeys(dinov3_module.DINOV3, dinov3_module.dinov3),
            **dict.fromkeys(convnext_module.SIZES, convnext_module.convnext), 'unet': unet_encoder}
DECODERS = {'deeplabv3plus': deeplabv3plus, 'dpt': dpt_module.dpt, 'unet': unet_decoder,
            'linear': linear}
_PYRAMID = ('dpt', 'unet')  # decoders that take a map of every stride, not only low and high
_CHOICES = {
    'encoder': tuple(ENCODERS),
    'decoder': tuple(DECODERS),
    'stem': STEMS,
    'output_stride': (8, 16, 32),
    'padding': ('symmetric', 'same'),
    'norm': ('batch', 'group'),
}


def build(model_config, num_classes: int, *, dtype=jnp.float32, axis_name: str | None = None,
          platform: str | None = None) -> Segmenter:
    """The network that config.model describes.

    Args:
      model_config: config.model.
      num_classes: channels of the logits.
      dtype: of the computation; parameters, BatchNorm statistics and logits are float32.
      axis_name: mesh axis over which BatchNorm is synchronised inside shard_map; under jit with a
        sharded batch it is synchronised anyway.
      platform: where it will run ('cpu', 'tpu', 'gpu'), None = what the program is built for
        (`parallel.target`). Convolutions and pooling take the form that is fast there.

    Raises:
      InputError: what `validate` refuses: an unknown encoder, decoder, stem, output stride, padding or
        norm, a width or rate that is not positive, or a key that the encoder or decoder has no use for.
    """
    validate(model_config)
    style = Style(model_config.padding, model_config.norm, axis_name=axis_name, dtype=dtype,
                  remat=model_config.remat, platform=platform)
    encoder_style = dataclasses.replace(style, frozen=model_config.freeze_norm or model_config.freeze_encoder)
    encoder = ENCODERS[model_config.encoder](model_config.encoder, model_config, encoder_style,
                                             pyramid=model_config.decoder in _PYRAMID)
    return Segmenter(encoder, DECODERS[model_config.decoder](model_config, num_classes, style), style,
                     model_config.align_corners, model_config.freeze_encoder)


def build_model(config, num_classes: int, axis_name: str | None = None) -> Segmenter:
    """The network of a whole config, with its compute dtype; see `build`."""
    return build(config.model, num_classes, dtype=compute_dtype(config), axis_name=axis_name)


def feature_channels(config) -> int:
    """Channels of the encoder's last map, for a whole config; nothing is computed."""
    model = build_model(config, 1)
    image = jax.ShapeDtypeStruct((1, *config.data.crop, config.data.channels), jnp.float32)
    outputs = jax.eval_shape(lambda x: model.apply(model.init(jax.random.key(0), x), x), image)
    return outputs.features[-1].shape[-1]


def validate(model_config) -> None:
    """Raises InputError where config.model names something that does not exist or does not fit."""
    for key, valid in _CHOICES.items():
        if model_config[key] not in valid:
            raise InputError(f'config.model.{key}={model_config[key]!r} is unknown\n'
                             f'valid: {", ".join(str(v) for v in valid)}')
    for key in ('width', 'decoder_width', 'low_level_width'):
        if model_config[key] < 1:
            raise InputError(f'config.model.{key}={model_config[key]} must be at least 1')
    rates = tuple(model_config.aspp_rates)
    if not rates or not all(isinstance(rate, int) and rate > 0 for rate in rates):
        raise InputError(f'config.model.aspp_rates={rates} must hold positive integers, as (6, 12, 18)')
    sizes = {**vit_module.VITS, **dinov3_module.DINOV3}.get(model_config.encoder, ())
    vit_module.validate(model_config, sizes)
    for part in (resnet_module, dinov3_module, convnext_module, dpt_module):
        part.validate(model_config)
    _validate_unet(model_config)


def _validate_unet(model_config) -> None:
    """A U-Net has a width for each of its steps, and its own encoder starts from scratch."""
    encoder, widths = model_config.encoder, tuple(model_config.unet_widths)
    if not widths or not all(isinstance(width, int) and width > 0 for width in widths):
        raise InputError(f'config.model.unet_widths={widths} must hold positive integers, as (512, 256, 128, 64)')
    if 'unet' not in (encoder, model_config.decoder):
        return
    needed = up_steps(encoder, model_config.output_stride)
    if len(widths) < needed:
        raise InputError(f'config.model.unet_widths={widths} has too few widths for encoder {encoder} at '
                         f'output_stride {model_config.output_stride}\nvalid: {needed} widths or more, coarse to fine')
    if encoder == 'unet' and model_config.pretrained:
        raise InputError(f'config.model.pretrained={model_config.pretrained!r} does not fit '
                         'config.model.encoder=unet, which starts from scratch\nvalid: None')
