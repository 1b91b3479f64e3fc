"""A mask as its file stores it: numbers, palette, colours, transparency. What they mean is `data.mask_meaning`'s."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageSequence

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.files import tiff
from s4mim_jax.data.files.images import PNG_END, NotAPicture, is_plain_png, load_image
from s4mim_jax.data.files.mask_colors import ColorTable, color_ids

# Containers that keep every number, whatever the file is called; and TIFF's compressions that do.
_LOSSLESS = ('PNG', 'TIFF', 'BMP', 'DIB', 'GIF', 'PPM', 'TGA')
_LOSSLESS_TIFF = (1, 2, 3, 4, 5, 8, 32771, 32773, 32946, 34925, 34926, 50000)
_REDUCED, _OVERLAY = 1, 4  # bits of TIFF's NewSubfileType: an overview, a transparency mask
_SIGNED = 2  # TIFF's SampleFormat
VALID = 'valid: class ids 0..254 and 255 = ignore, 8-bit grayscale or palette'


@dataclass(frozen=True, eq=False)
class StoredMask:
    """What a file holds, upright, without any meaning.

    Attributes:
      form: 'gray', 'palette' or 'color'.
      bits: of a gray level as stored; 8 for palettes and colours. Numbers of more bits are below 256 too.
      numbers: uint8 [H, W], gray levels as stored (0..3 with 2 bits) or palette indices; None for colours.
      rgb: uint8 [H, W, 3] of a colour mask; None otherwise.
      palette: uint8 [256, 3] of a palette mask; None otherwise.
      hidden: bool [H, W], fully transparent pixels; None = there are none.
      plain: whether a plain gray PNG of 8 bits, on which all decoders agree.
      turned: the EXIF orientation that the file asked for, 1 = none.
    """

    form: str
    bits: int
    numbers: np.ndarray | None = None
    rgb: np.ndarray | None = None
    palette: np.ndarray | None = None
    hidden: np.ndarray | None = None
    plain: bool = False
    turned: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        return (self.rgb if self.numbers is None else self.numbers).shape[:2]


def read_mask(data: bytes, name: str) -> StoredMask:
    """Decodes a mask.

    Args:
      data: encoded bytes. name: for messages.

    Raises:
      InputError: no image, truncated or damaged; a format or compression that loses detail; several pages; numbers
        that are no whole numbers of 0..255; pixels that are transparent in part; colours that are not RGB.
    """
    try:
        image, turned = load_image(data, name, check=lambda image: _require_exact(image, name))
    except NotAPicture:  # types that Pillow does not know
        return StoredMask('gray', 32, _whole(_one_band(data, name), name))
    if image.mode in ('RGB', 'RGBA'):
        return replace(_colors(image, name), turned=turned)
    if image.mode == 'P':
        return replace(_palette(image, name), turned=turned)
    if image.mode in ('1', 'L', 'LA') or image.mode.startswith('I') or image.mode == 'F':
        return replace(_gray(image, data, name), turned=turned)
    raise InputError(f'{name}: mask with colours of mode {image.mode}, which are not exact in RGB\n{VALID}, or RGB')


def _require_exact(image: Image.Image, name: str) -> None:
    """Before the pixels are decoded: the container, its compression, its pages."""
    kind = image.format
    if kind not in _LOSSLESS:
        raise InputError(f'{name}: a mask that is {kind} inside, which need not keep every number\n'
                         'valid: PNG, TIFF or BMP without loss; one that was lossy once has wrong numbers for good')
    pages = getattr(image, 'n_frames', 1)
    if kind != 'TIFF':
        if pages > 1:
            raise InputError(f'{name}: a mask of {pages} frames\nvalid: one image, its class ids in one channel')
        return
    compression = image.tag_v2.get(259, 1)
    if compression not in _LOSSLESS_TIFF:
        raise InputError(f'{name}: a mask compressed as {image.info.get("compression", compression)}, which need not '
                         'keep every number\nvalid: TIFF without compression, or with LZW, deflate or PackBits')
    if pages > 1:
        kinds = [frame.tag_v2.get(254, 0) for frame in ImageSequence.Iterator(image)]
        image.seek(0)
        full = sum(not kind & (_REDUCED | _OVERLAY) for kind in kinds)
        if full > 1:
            raise InputError(f'{name}: a mask of {full} pages, of which the first alone would be read\n'
                             'valid: one page of class ids; pages that each show one class become one by their argmax')


def _colors(image: Image.Image, name: str) -> StoredMask:
    rgb, hidden = np.asarray(image.convert('RGB')), None
    if image.mode == 'RGBA':
        hidden = _hidden(np.asarray(image)[..., 3], name)
    elif 'transparency' in image.info:  # one colour
        hidden = (rgb == np.array(image.info['transparency'], np.uint8)).all(-1)
    return StoredMask('color', 8, rgb=rgb, hidden=_some(hidden))


def _palette(image: Image.Image, name: str) -> StoredMask:
    numbers = np.array(image)
    palette = np.zeros((256, 3), np.uint8)
    colors = np.array(image.getpalette('RGB') or [], np.uint8).reshape(-1, 3)[:256]
    palette[:len(colors)] = colors
    hidden, clear = None, image.info.get('transparency')
    if isinstance(clear, bytes):
        alpha = np.full(256, 255, np.uint8)
        alpha[:len(clear)] = np.frombuffer(clear[:256], np.uint8)
        hidden = _hidden(alpha[numbers], name)
    elif clear is not None:
        hidden = numbers == clear
    return StoredMask('palette', 8, numbers, palette=palette, hidden=_some(hidden))


def _gray(image: Image.Image, data: bytes, name: str) -> StoredMask:
    bits, clear = _bits(image, data), image.info.get('transparency')
    if image.mode == 'LA':
        if image.format == 'PNG' and data[24] == 16:
            raise InputError(f'{name}: a gray mask with alpha of 16 bits, of which 8 would be read\n{VALID}')
        levels, alpha = np.moveaxis(np.array(image), -1, 0)
        return StoredMask('gray', 8, levels, hidden=_some(_hidden(alpha, name)))
    values = np.array(image)
    hidden = None
    if isinstance(clear, int) and image.mode != 'F':
        hidden = values == (clear if image.mode != '1' else clear > 0)
    if image.mode == '1':
        return StoredMask('gray', 1, values.astype(np.uint8), hidden=_some(hidden))
    if image.mode == 'L':
        if image.format == 'TIFF' and _SIGNED in _as_tuple(image.tag_v2.get(339)):
            values = values.view(np.int8)
            return StoredMask('gray', 8, _whole(values, name))
        # Pillow stretches 2- and 4-bit gray levels to 0..255; class ids must stay as written.
        values //= {2: 85, 4: 17}.get(bits, 1)
        plain = hidden is None and is_plain_png(image, data) and data.endswith(PNG_END)
        return StoredMask('gray', bits, values, hidden=_some(hidden), plain=plain)
    if image.format == 'TIFF' and image.tag_v2.get(262) == 0:
        raise InputError(f'{name}: a mask of {bits} bits whose tag says that 0 is white, so that numbers and gray '
                         f'levels differ\n{VALID}, BlackIsZero')
    return StoredMask('gray', bits, _whole(values, name), hidden=_some(hidden))


def _bits(image: Image.Image, data: bytes) -> int:
    """Of a gray level in the file."""
    if image.format == 'PNG':
        return data[24]
    if image.format == 'TIFF':
        return _as_tuple(image.tag_v2.get(258, 1))[0]
    return {'1': 1, 'L': 8, 'LA': 8}.get(image.mode, 16)


def _as_tuple(value) -> tuple:
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _hidden(alpha: np.ndarray, name: str) -> np.ndarray:
    """Where alpha is 0. One alpha for all else, whatever it is, is a mask that was made to lie over its image."""
    shades = np.flatnonzero(np.bincount(alpha.ravel(), minlength=256)[1:]) + 1
    if len(shades) > 1:
        raise InputError(f'{name}: a mask with pixels that are transparent in part (alpha {shades[0]} to '
                         f'{shades[-1]})\n'
                         'valid: every pixel with its class, or fully transparent = without a class; soft edges have '
                         'no class')
    return alpha == 0


def _some(hidden: np.ndarray | None) -> np.ndarray | None:
    return hidden if hidden is not None and hidden.any() else None


def _whole(values: np.ndarray, name: str) -> np.ndarray:
    """Numbers of any type -> uint8.

    Raises:
      InputError: fractions, missing values, negative ones, or ones above 255; naming them.
    """
    if values.dtype.kind == 'f':
        if not np.isfinite(values).all():
            raise InputError(f'{name}: a floating point mask with {int((~np.isfinite(values)).sum())} pixels that are '
                             f'no number\n{VALID}')
        odd = values != np.round(values)
        if odd.any():
            raise InputError(f'{name}: a floating point mask with fractions, such as {values[odd].flat[0]:g} in '
                             f'{int(odd.sum())} pixels\n{VALID}')
    low, high = values.min(), values.max()
    if low < 0 or high > 255:
        what = 'floating point' if values.dtype.kind == 'f' else 'signed' if low < 0 else '16-bit'
        span = f'values up to {high:g}' if low >= 0 else f'values from {low:g} to {high:g}'
        raise InputError(f'{name}: {what} mask with {span}\n{VALID}')
    return values.astype(np.uint8)


def _one_band(data: bytes, name: str) -> np.ndarray:
    found = tiff.layout(data, name)
    if found.bands > 1:
        raise InputError(f'{name}: a mask of {found.bands} channels\n{VALID}, or RGB')
    return tiff.turned(tiff.read(data, name), found.orientation)[..., 0]


def decode_mask(data: bytes, name: str, colors: ColorTable | None = None) -> np.ndarray:
    """One mask alone, without a dataset: its numbers as stored, or the ids of its colours.

    Args:
      data: encoded bytes. name: for messages.
      colors: a table without a problem: every mask is read by what it shows, transparent pixels are 255. None: gray
        levels and palette indices.

    Returns:
      uint8 [H, W].

    Raises:
      InputError: as `read_mask`; a colour mask without a table, or a colour that it does not list.
    """
    mask = read_mask(data, name)
    if colors is None:
        if mask.numbers is None:
            raise InputError(f'{name}: mask is a colour image\n{VALID}')
        return mask.numbers
    rgb = mask.rgb
    if rgb is None:
        rgb = mask.palette[mask.numbers] if mask.form == 'palette' else np.repeat(
            (mask.numbers.astype(int) * 255 // (2 ** min(mask.bits, 8) - 1)).astype(np.uint8)[..., None], 3, 2)
    ids, known = color_ids(rgb, colors)
    strange = ~known if mask.hidden is None else ~known & ~mask.hidden
    if strange.any():
        raise InputError(f'{name}: the colour {tuple(rgb[strange][0].tolist())} belongs to no class '
                         f'({int(strange.sum())} pixels of unknown colours)')
    if mask.hidden is not None:
        ids[mask.hidden] = IGNORE
    return ids
