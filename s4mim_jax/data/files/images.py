"""Encoded bytes -> arrays, through Pillow: every format, depth and orientation that users have.

The input pipeline decodes ordinary JPEGs and PNGs with its own, faster operations; all others,
and everything in prediction, come through here.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files import tiff
from s4mim_jax.data.files.pixel_format import PLAIN, PixelFormat

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp')
MASK_SUFFIXES = ('.png', '.tif', '.tiff', '.bmp')

# What Pillow raises on damaged files, depending on where in the file the damage is.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError)

PNG_END = b'IEND\xaeB`\x82'
PNG_COLORS = {'L': 0, 'RGB': 2, 'LA': 4, 'RGBA': 6}  # Pillow's mode -> colour type in the header


class NotAPicture(InputError):
    """A TIFF of types that Pillow does not know."""


def open_image(data: bytes, name: str) -> Image.Image:
    """Reads the header only.

    Raises:
      InputError: no image, or one of more pixels than Pillow takes for sane.
    """
    try:
        return Image.open(io.BytesIO(_two_colors(data)))
    except Image.DecompressionBombError as error:
        raise InputError(f'{name}: too large, cut it into tiles ({error})') from None
    except UnidentifiedImageError:
        if tiff.is_tiff(data):
            found = tiff.layout(data, name)
            raise NotAPicture(f'{name}: a TIFF of {found.bands} channel(s) of type {found.dtype}, which is no ordinary '
                             f'picture\nset --config.data.channels={found.bands} and, for more than 8 bits, '
                             '--config.data.value_range="(LOW, HIGH)"') from None
        raise InputError(f'{name}: not an image that can be read ({len(data)} bytes)\n'
                         f'valid: JPEG, PNG, TIFF, BMP') from None
    except _DAMAGED as error:
        raise _damaged(error, data, name, 'image') from None


def decode_image(data: bytes, name: str, form: PixelFormat = PLAIN) -> np.ndarray:
    """Decodes an image of any supported format; the EXIF orientation is applied.

    In the default form 16-bit values are scaled from 0..65535, floating point ones from 0..1; grayscale
    is repeated in three channels; transparency is dropped. In any other see `decode_bands`.

    Args:
      data: encoded bytes (JPEG, PNG, TIFF, BMP).
      name: for messages.
      form: channels and value range.

    Returns:
      uint8 [H, W, form.channels]; RGB in the default form.

    Raises:
      InputError: no image, truncated or damaged, or values or channels that the form does not take.
    """
    if not form.plain:
        return decode_bands(data, name, form)
    try:
        image, _ = load_image(data, name)
    except InputError:
        if not tiff.is_tiff(data) or tiff.layout(data, name)[2:4] != (3, np.uint8):
            raise
        return tiff.turned(tiff.read(data, name), tiff.layout(data, name).orientation)  # YCbCr that Pillow cannot read
    return _rgb(image, name)


def picture_bands(image: Image.Image, name: str, form: PixelFormat = PLAIN) -> np.ndarray:
    """What `decode_image` makes of the file of a Pillow image, which may have come from anywhere.

    Raises:
      InputError: damaged, or values or channels that the form does not take.
    """
    try:
        image.load()
    except _DAMAGED as error:
        raise InputError(f'{name}: damaged image ({error})') from None
    image = ImageOps.exif_transpose(image) if orientation(image) != 1 else image
    if form.plain:
        return _rgb(image, name)
    values, alpha = _bands(image, b'', name)
    return form.to_bytes(fit_bands(values, alpha, name, form), name)


def _rgb(image: Image.Image, name: str) -> np.ndarray:
    """Any mode of Pillow's -> uint8 [H, W, 3]."""
    if image.mode in ('RGB', 'RGBA', 'P', 'PA', 'CMYK', 'YCbCr', 'LAB', 'HSV', 'RGBX'):
        return np.array(image.convert('RGB'))
    if image.mode in ('1', 'L', 'LA', 'La'):
        gray = np.array(image.convert('L'))
    else:
        gray = _to_8_bits(_values(image), image.mode, name)
    return np.repeat(gray[:, :, None], 3, axis=2)


def decode_bands(data: bytes, name: str, form: PixelFormat) -> np.ndarray:
    """Decodes an image of a form other than the default.

    The file must have form.channels channels, beside which transparency is dropped; three are also made of
    one, by repetition. TIFF is read by tifffile, everything else by Pillow.

    Returns:
      uint8 [H, W, form.channels], see `PixelFormat.to_bytes`.

    Raises:
      InputError: another number of channels, 16-bit values without a range, truncated or damaged.
    """
    if tiff.is_tiff(data):
        try:
            found, values = tiff.layout(data, name), tiff.read(data, name)
            return form.to_bytes(tiff.turned(fit_bands(values, found.alpha, name, form), found.orientation), name)
        except tiff.NeedsCodec as error:
            try:
                mode = Image.open(io.BytesIO(data)).mode
            except _DAMAGED:
                raise error from None
            if mode in ('RGB', 'RGBA') and found.dtype != np.uint8:
                raise  # Pillow would cut 16 bits a channel down to 8
    values, alpha = _bands(load_image(data, name)[0], data, name)
    return form.to_bytes(fit_bands(values, alpha, name, form), name)


def fit_bands(values: np.ndarray, alpha: bool, name: str, form: PixelFormat) -> np.ndarray:
    """[H, W, n] -> [H, W, form.channels]: the same, without the alpha band, or one band three times.

    Raises:
      InputError: a number of channels that does not fit.
    """
    count, wanted = values.shape[2], form.channels
    if count == wanted:
        return values
    if alpha and count - 1 == wanted:
        return values[:, :, :-1]
    if wanted == 3 and count - alpha == 1:
        return np.repeat(values[:, :, :1], 3, axis=2)
    raise InputError(f'{name}: {count} channel(s), but --config.data.channels={wanted}\n'
                     'valid: the same number of channels in all images of the dataset')


def _bands(image: Image.Image, data: bytes, name: str) -> tuple[np.ndarray, bool]:
    """What Pillow has read, [H, W, n], and whether the last band is alpha."""
    if image.mode in ('P', 'PA', 'YCbCr', 'LAB', 'HSV', 'RGBX'):
        image = image.convert('RGB')
    if image.format == 'PNG' and data[24:25] == b'\x10' and image.mode in ('RGB', 'RGBA', 'LA'):
        raise InputError(f'{name}: a PNG of several channels of 16 bits, of which Pillow reads 8\n'
                         'valid: save it as TIFF')
    values = _values(image)
    return values.reshape(*values.shape[:2], -1), image.mode in ('RGBA', 'LA', 'La')


def _values(image: Image.Image) -> np.ndarray:
    """Pillow turns values round where a TIFF says that 0 is white, but not those of 16 bits."""
    values = np.asarray(image)
    white_is_zero = getattr(image, 'tag_v2', {}).get(262) == 0
    return np.iinfo(values.dtype).max - values if white_is_zero and values.dtype == np.uint16 else values


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 (upright) .. 8; 1 when there is none or it makes no sense."""
    try:
        value = image.getexif().get(0x0112, 1)
    except _DAMAGED:
        return 1
    return value if value in range(1, 9) else 1


def is_plain_png(image: Image.Image, data: bytes) -> bool:
    """8 bits a channel, no palette, no transparent colour: decoders agree on these."""
    return (image.format == 'PNG' and data[24] == 8 and 'transparency' not in image.info
            and PNG_COLORS.get(image.mode) == data[25])


def load_image(data: bytes, name: str,
               check: Callable[[Image.Image], None] = lambda image: None) -> tuple[Image.Image, int]:
    """Decoded and turned upright, and the EXIF orientation that it had. `check` sees the header and may raise.

    Raises:
      InputError: no image, truncated or damaged.
    """
    image = open_image(data, name)
    check(image)
    try:
        image.load()
    except _DAMAGED as error:
        raise _damaged(error, data, name, image.format) from None
    turned = orientation(image)
    if turned == 1:
        return image, 1
    original = image.format
    image = ImageOps.exif_transpose(image)
    image.format = original
    return image, turned


def _two_colors(data: bytes) -> bytes:
    """A BMP of 4 or 8 bits with two colours says so no more: Pillow takes black and white ones for 1 bit."""
    if data[:2] != b'BM' or data[28:30] not in (b'\4\0', b'\x08\0') or data[46:50] != b'\2\0\0\0':
        return data
    return data[:46] + bytes(4) + data[50:] + bytes(1024)  # behind the end: a palette of 256 colours must fit


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
