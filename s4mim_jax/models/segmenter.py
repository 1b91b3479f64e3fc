"""A segmentation network: encoder, hook, decoder, resize."""

from collections.abc import Callable

import jax
from flax import linen as nn
from flax import struct

from s4mim_jax.models.layers import Style
from s4mim_jax.models.resize import resize_bilinear

Maps = tuple[jax.Array, ...]


@struct.dataclass
class Outputs:
    """logits float32 [B, H, W, C]; coarse float32 [B, h, w, C], before the resize to the image's size;
    features: the encoder's maps, fine to coarse, as the decoder saw them without `perturb`: strides 4
    and output_stride for DeepLabV3+, every stride for a U-Net."""

    logits: jax.Array
    coarse: jax.Array
    features: Maps


class Segmenter(nn.Module):
    """Parameters are under 'encoder' and 'decoder', so that an optimiser can group them by path.

    freeze_encoder: no gradient goes through the encoder, and no memory is kept for one.
    """

    encoder: nn.Module
    decoder: nn.Module
    style: Style
    align_corners: bool = False
    freeze_encoder: bool = False

    def __call__(self, images: jax.Array, train: bool = False,
                 perturb: Callable[[Maps], Maps] | None = None) -> Outputs:
        """Segments images.

        Args:
          images: float32 [B, H, W, 3], normalised by ImageNet's mean and standard deviation.
          train: normalise by the batch's statistics and move the running ones.
          perturb: pure function of the encoder's maps, applied before the decoder; it may return
            another batch size (say, the maps and a dropped copy of them), which the logits follow.
        """
        features = self.encoder(images.astype(self.style.dtype), train)
        if self.freeze_encoder:
            features = jax.lax.stop_gradient(features)
        seen = features if perturb is None else tuple(perturb(features))
        coarse = self.decoder(seen, train)
        logits = resize_bilinear(coarse, images.shape[1:3], self.align_corners)
        return Outputs(logits, coarse, features)
