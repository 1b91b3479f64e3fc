"""Geometry of training crops: random scale, pad, crop, flip, as one resampling of a window.

Resizing a whole image and then cropping throws most of the work away. `place` decides where the
crop lies, `source_window` names the source pixels it depends on, and `crop_image` resamples only
those, with the pixel mapping that resizing everything first would have had.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

# Source pixels decoded beyond the filter's reach: at the rim of a JPEG window the decoder
# interpolates chroma without its neighbours, so the outermost pixels are not those of the whole.
RIM = 2

# Pillow takes positions as float32. On this grid (pixels / GRID) they are exact there for images of
# up to 16384 pixels a side, so a crop does not depend on the window it was cut from.
GRID = 1024


@dataclass(frozen=True)
class Placement:
    """A crop of a resized image. Sizes are (height, width), positions (y, x), all in pixels.

    Attributes:
      source: size of the image as stored.
      scaled: size it is resized to.
      corner: top left corner of the crop in the resized image.
      visible: part of the crop that the image fills; the rest is padding at the bottom and right.
      flip: mirror the padded crop left to right, at the end.
    """

    source: tuple[int, int]
    scaled: tuple[int, int]
    corner: tuple[int, int]
    visible: tuple[int, int]
    flip: bool


def place(
    bits: Sequence[int],
    source: tuple[int, int],
    crop: tuple[int, int],
    *,
    scale: tuple[float, float],
    base: tuple[int, int] | None = None,
    flip: bool = True,
) -> Placement:
    """Draws a crop as UniMatch does: the long side uniform over the integers in scale * its length.

    Args:
      bits: four random numbers, uniform over 0 .. 2^32 - 1.
      source: (H, W) of the image as stored.
      crop: (H, W) of the crop.
      scale: smallest and largest factor for the long side of `base`.
      base: (H, W) whose long side is scaled and whose aspect is kept; None = the image's own.
      flip: mirror half of the crops.
    """
    height, width = base or source
    long_side = max(height, width)
    low, high = int(long_side * scale[0]), int(long_side * scale[1])
    side = max(low + _below(bits[0], high - low + 1), 1)
    # Rounded half up in integers, so that no platform's floating point can move a crop.
    scaled = tuple(max((2 * n * side + long_side) // (2 * long_side), 1) for n in (height, width))
    corner = tuple(_below(b, max(s - c, 0) + 1) for b, s, c in zip(bits[1:3], scaled, crop))
    visible = tuple(min(s, c) for s, c in zip(scaled, crop))
    return Placement(tuple(source), scaled, corner, visible, bool(flip and int(bits[3]) >> 31))


def _below(bits: int, n: int) -> int:
    return (int(bits) * n) >> 32


def source_window(placement: Placement) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the source pixels that `crop_image` reads."""
    spans = []
    for axis in (0, 1):
        step = placement.source[axis] / placement.scaled[axis]
        reach = max(step, 1.0) + RIM  # the triangle filter's half width, in source pixels
        first = placement.corner[axis] * step - reach
        last = (placement.corner[axis] + placement.visible[axis]) * step + reach
        spans.append((max(math.floor(first), 0), min(math.ceil(last), placement.source[axis])))
    (top, bottom), (left, right) = spans
    return top, left, bottom - top, right - left


def enclosing(windows: Sequence[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    """The smallest window (top, left, height, width) that holds all the given ones."""
    top, left = min(w[0] for w in windows), min(w[1] for w in windows)
    return (top, left, max(w[0] + w[2] for w in windows) - top,
            max(w[1] + w[3] for w in windows) - left)


def crop_image(window: np.ndarray, origin: tuple[int, int], placement: Placement,
               out: np.ndarray) -> None:
    """Resamples the crop into `out`: bilinear, antialiased where it shrinks (Pillow's filter).

    Args:
      window: uint8 [h, w, C], source pixels that cover at least `source_window(placement)`.
      origin: (y, x) of window[0, 0] in the source.
      placement: from `place`.
      out: uint8 [H, W, C] of the crop's size; padding is left as it is.
    """
    box = []
    for axis in (0, 1):
        size, scaled = placement.source[axis], placement.scaled[axis]
        first, last = placement.corner[axis], placement.corner[axis] + placement.visible[axis]
        box.append([(2 * n * size * GRID + scaled) // (2 * scaled) / GRID - origin[axis]
                    for n in (first, last)])
    (top, bottom), (left, right) = box
    part = visible_part(placement, out.shape[:2])
    if window.shape[2] != 3:  # band by band, with the same filter
        image = resample(window, placement.visible, (left, top, right, bottom))
        out[part] = image[:, ::-1] if placement.flip else image
        return
    image = _resized(window, placement.visible, (left, top, right, bottom))
    if placement.flip:  # ten times faster than reversing a NumPy axis of three-byte pixels
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    out[part] = np.asarray(image)


def crop_label(mask: np.ndarray, placement: Placement, out: np.ndarray) -> None:
    """Nearest source pixel (half-pixel centres) of every pixel of the crop.

    Args:
      mask: uint8 [h, w] of the whole source, labels.
      placement: from `place`.
      out: uint8 [H, W] of the crop's size; padding is left as it is.
    """
    rows, columns = (
        ((2 * (corner + np.arange(visible)) + 1) * size) // (2 * scaled)
        for size, scaled, corner, visible in zip(
            placement.source, placement.scaled, placement.corner, placement.visible))
    if placement.flip:
        columns = columns[::-1]
    # Two steps: four times as fast as one.
    out[visible_part(placement, out.shape)] = mask.take(rows, axis=0).take(columns, axis=1)


def visible_part(placement: Placement, crop: tuple[int, int]) -> tuple[slice, slice]:
    """The part of the crop that shows image: at the top left, or top right of a flipped one."""
    height, width = placement.visible
    start = crop[1] - width if placement.flip else 0
    return slice(0, height), slice(start, start + width)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W, C] -> [*size, C] with the filter of the training crops, for evaluation."""
    if image.shape[:2] == tuple(size):
        return image
    return resample(image, tuple(size))


def resample(image: np.ndarray, size: tuple[int, int], box: tuple[float, ...] | None = None) -> np.ndarray:
    """uint8 [h, w, C] -> [*size, C], bilinear, antialiased where it shrinks; box = (left, top, right, bottom)."""
    box = box or (0, 0, image.shape[1], image.shape[0])

    def one(band):
        return np.asarray(_resized(band, size, box))

    if image.shape[2] == 3:
        return one(image)
    return np.stack([one(np.ascontiguousarray(image[:, :, band])) for band in range(image.shape[2])], axis=2)


def _resized(array, size, box):
    """uint8 [h, w(, 3)] -> Image of `size` (height, width).

    Columns first, then rows, each asked for by itself. Pillow rounds to whole levels between the two, and since 13 it
    begins with the axis that is cheaper: a window and the whole image then differ by a level. So they are the same
    bytes, and on Pillow 11 to 13 those of Pillow 11.
    """
    (height, width), (left, top, right, bottom) = size, box
    image = Image.fromarray(array)
    image = image.resize((width, image.height), Image.Resampling.BILINEAR, box=(left, 0, right, image.height))
    return image.resize((width, height), Image.Resampling.BILINEAR, box=(0, top, width, bottom))
