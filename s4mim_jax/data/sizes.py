"""The sizes that an image takes on its way through evaluation and prediction. Plain arithmetic."""

from collections.abc import Iterable

from s4mim_jax.config.encoder_sizes import evaluation_multiple, nearest_multiple

# Images of different sizes are scored on a canvas whose sides are multiples of this: few shapes to
# compile for, and little of the canvas unused.
CANVAS_MULTIPLE = 64


def network_size(own: tuple[int, int], config) -> tuple[int, int]:
    """Size at which the network sees an image.

    Args:
      own: (H, W) of the image, after its EXIF orientation.
      config: whole config; `data.resize` replaces the own size, `eval.multiple` (with a ViT also
        its patch) rounds either to the nearest multiple (half up, at least one multiple).

    Returns:
      (h, w).
    """
    multiple = evaluation_multiple(config)
    return tuple(nearest_multiple(n, multiple) for n in config.data.resize or own)


def canvas_size(own: tuple[int, int], all_sizes: Iterable[tuple[int, int]] | None = None) -> tuple[int, int]:
    """Size of the array in which an image is scored; the image lies at the top left.

    Args:
      own: (H, W) of the image.
      all_sizes: own sizes of every image of the split; None = not known.

    Returns:
      `own` if all images have that size, else `own` rounded up to multiples of CANVAS_MULTIPLE.
    """
    if all_sizes is not None and {tuple(size) for size in all_sizes} == {tuple(own)}:
        return tuple(own)
    return tuple(-(-n // CANVAS_MULTIPLE) * CANVAS_MULTIPLE for n in own)
