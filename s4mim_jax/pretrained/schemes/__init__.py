"""The table of naming schemes. A new one is a file with a `Scheme` and a line here."""

from s4mim_jax.pretrained.schemes import convnext, deeplabv3plus, dinov2, dinov3, dpt, mobilenet, ours, resnet
from s4mim_jax.pretrained.schemes.scheme import Found, Layout, Scheme, Source

__all__ = ['DECODERS', 'ENCODERS', 'SCHEMES', 'Found', 'Layout', 'Scheme', 'Source', 'ours']

ENCODERS = (
    resnet.RESNET,
    mobilenet.TORCHVISION,
    mobilenet.TIMM,
    dinov3.OFFICIAL,  # before DINOv2, whose names it shares but for the registers'
    dinov3.TIMM,
    dinov3.HUGGING_FACE,
    dinov2.OFFICIAL,
    dinov2.TIMM,
    dinov2.HUGGING_FACE,
    convnext.OFFICIAL,
    convnext.TIMM,
    convnext.HUGGING_FACE,
)
DECODERS = (
    deeplabv3plus.DEEPLABV3PLUS,
    dpt.DPT,
)
SCHEMES = ENCODERS + DECODERS
