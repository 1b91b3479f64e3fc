"""Which image sizes the encoders take. Data, evaluation and models share these facts, so it imports none of them."""

import math

PATCH = 14  # of DINOv2
# Encoders that cut the image into squares and take whole squares only.
PATCHES = {
    **dict.fromkeys(('dinov2_vits14', 'dinov2_vitb14', 'dinov2_vitl14', 'dinov2_vitg14'), PATCH),
    **dict.fromkeys(('dinov3_vits16', 'dinov3_vits16plus', 'dinov3_vitb16', 'dinov3_vitl16', 'dinov3_vith16plus'), 16),
}
# Without BatchNorm, beside those: LayerNorm keeps no statistics.
CONVNEXTS = ('dinov3_convnext_tiny', 'dinov3_convnext_small', 'dinov3_convnext_base', 'dinov3_convnext_large')


def size_multiple(model_config) -> int:
    """What height and width of the network's input must be multiples of: a ViT's patch, 1 otherwise."""
    return PATCHES.get(model_config.encoder, 1)


def feature_stride(model_config) -> int:
    """Pixels between the positions of the encoder's last map."""
    return PATCHES.get(model_config.encoder, model_config.output_stride)


def takes_padding(model_config) -> bool:
    """Whether the network's outputs for an image do not change when it is padded (`models/extent.py`).

    A ViT's do: its position table is resized to the image. So do those of networks whose operations nobody has checked.
    """
    return (model_config.encoder in ('resnet18', 'resnet34', 'resnet50', 'resnet101', 'mobilenet_v2', 'unet')
            and model_config.decoder in ('deeplabv3plus', 'unet'))


def evaluation_multiple(config) -> int:
    """What evaluation and prediction round the network's input to: `eval.multiple`, made to fit the encoder."""
    return math.lcm(config.eval.multiple, size_multiple(config.model))


def nearest_multiple(length: int, multiple: int) -> int:
    """The multiple nearest to a length (half up, at least one)."""
    return max((length + multiple // 2) // multiple, 1) * multiple
