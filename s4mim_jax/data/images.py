"""Encoded bytes -> arrays, through Pillow: every format, depth and orientation that users have.

The input pipeline decodes ordinary JPEGs and PNGs with its own, faster operations; all others,
and everything in prediction, come through here.
"""

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from s4mim_jax.errors import InputError

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp')
MASK_SUFFIXES = ('.png', '.tif', '.tiff', '.bmp')

# What Pillow raises on damaged files, depending on where in the file the damage is.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError)


def open_image(data: bytes, name: str) -> Image.Image:
    """Reads the header only.

    Raises:
      InputError: no image, or one of more pixels than Pillow takes for sane.
    """
    try:
        return Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise InputError(f'{name}: too large, cut it into tiles ({error})') from None
    except UnidentifiedImageError:
        raise InputError(f'{name}: not an image that can be read ({len(data)} bytes)\n'
                         f'valid: JPEG, PNG, TIFF, BMP') from None
    except _DAMAGED as error:
        raise _damaged(error, data, name, 'image') from None


def decode_image(data: bytes, name: str) -> np.ndarray:
    """Decodes an image of any supported format.

    16-bit values are scaled from 0..65535, floating point ones from 0..1; grayscale is repeated in
    three channels; transparency is dropped; the EXIF orientation is applied.

    Args:
      data: encoded bytes (JPEG, PNG, TIFF, BMP).
      name: for messages.

    Returns:
      uint8 [H, W, 3], RGB.

    Raises:
      InputError: no image, truncated or damaged, or values outside those ranges.
    """
    image = _load(data, name)
    if image.mode in ('RGB', 'RGBA', 'P', 'PA', 'CMYK', 'YCbCr', 'LAB', 'HSV', 'RGBX'):
        return np.array(image.convert('RGB'))
    if image.mode in ('1', 'L', 'LA', 'La'):
        gray = np.array(image.convert('L'))
    else:
        gray = _to_8_bits(np.asarray(image), image.mode, name)
    return np.repeat(gray[:, :, None], 3, axis=2)


def decode_mask(data: bytes, name: str) -> np.ndarray:
    """Decodes a mask to the numbers stored in it: gray levels, or palette indices.

    Returns:
      uint8 [H, W]. One-bit masks give 0 and 1.

    Raises:
      InputError: a colour mask, values above 255, truncated or damaged.
    """
    image = _load(data, name)
    if image.mode in ('L', 'P'):
        values = np.array(image)
        depth = data[24] if image.format == 'PNG' and image.mode == 'L' else 8
        # Pillow stretches 2- and 4-bit gray levels to 0..255; class ids must stay as written.
        return values // {2: 85, 4: 17}.get(depth, 1)
    if image.mode == '1':
        return np.array(image).astype(np.uint8)
    if image.mode.startswith('I'):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 255:
            raise InputError(f'{name}: 16-bit mask with values up to {values.max()}\n'
                             f'valid: class ids 0..254 and 255 = ignore')
        return values.astype(np.uint8)
    raise InputError(f'{name}: mask is a colour image (mode {image.mode})\n'
                     f'valid: one channel of class ids (8-bit grayscale or palette PNG)')


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) .. 8; 1 when there is none or it makes no sense."""
    try:
        value = image.getexif().get(0x0112, 1)
    except _DAMAGED:
        return 1
    return value if value in range(1, 9) else 1


def _load(data: bytes, name: str) -> Image.Image:
    image = open_image(data, name)
    try:
        image.load()
    except _DAMAGED as error:
        raise _damaged(error, data, name, image.format) from None
    if orientation(image) == 1:
        return image
    original = image.format
    image = ImageOps.exif_transpose(image)
    image.format = original
    return image


def _damaged(error: Exception, data: bytes, name: str, kind: str) -> InputError:
    truncated = 'truncated' in str(error).lower() or isinstance(error, EOFError)
    return InputError(f'{name}: {"truncated" if truncated else "damaged"} {kind} '
                      f'({error}, {len(data)} bytes)')


def _to_8_bits(values: np.ndarray, mode: str, name: str) -> np.ndarray:
    """Full-scale conversion: 16 bits / 257, floats * 255. A stretch by content would make the
    same gray level look different from image to image."""
    low, high = float(values.min()), float(values.max())
    top = 1.0 if mode == 'F' else 65535.0
    if not (low >= 0 and high <= top):  # also true of NaN
        raise InputError(f'{name}: values from {low:g} to {high:g} in an image of mode {mode}\n'
                         f'valid: 0..65535 in 16 or 32 bits, 0..1 in floating point')
    return np.floor(values.astype(np.float64) * (255.0 / top) + 0.5).astype(np.uint8)
