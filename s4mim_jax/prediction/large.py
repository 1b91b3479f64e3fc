"""Images that are too large to go through the network at once: from which size, and the windows that they are cut into.

The memory of `whole` grows with the area, that of its resizes with the square of a side. Windows as large as memory
allows see nearly what the whole image shows (ours).
"""

from s4mim_jax.config.encoder_sizes import nearest_multiple
from s4mim_jax.evaluation.inference import Protocol

WHOLE_BYTES = 2 ** 32  # an estimate above this is worked off in windows
WINDOW = 1536  # pixels of a window's side at most


def estimated_bytes(size: tuple[int, int], classes: int, patch: int | None = None) -> int:
    """What `whole` may take for an image of (height, width) at the network, roughly and rather too much (ours).

    400 bytes a pixel are the maps of a ResNet with DeepLabV3+; ten a class those of scores and their copies; a ViT of
    `patch` pixels compares every token with every other one, in six heads at a time; a resize to a side of n pixels is
    a matrix of n * n / 4 numbers, of which several exist.
    """
    height, width = size
    tokens = height * width // patch ** 2 if patch else 0
    return height * width * (400 + 10 * classes) + 24 * tokens ** 2 + 6 * (height ** 2 + width ** 2)


def windowed(protocol: Protocol, size: tuple[int, int], classes: int, patch: int | None = None) -> Protocol | None:
    """The protocol by which an image of this size is cut where it would go through the network at once; None = it may.

    Args:
      protocol: `whole`. size: (height, width) at the network.
    """
    if estimated_bytes(size, classes, patch) <= WHOLE_BYTES:
        return None
    side = WINDOW
    while side > 64 and estimated_bytes((side, side), classes, patch) > WHOLE_BYTES // 2:
        side //= 2
    window = tuple(nearest_multiple(min(n, side), protocol.multiple) for n in size)
    return protocol._replace(mode='sliding', window=window)
