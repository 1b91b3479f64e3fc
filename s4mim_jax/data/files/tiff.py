"""TIFF of any number of bands and any depth, whole or a window of it, through tifffile.

Pillow reads one band of 16 bits or up to four of 8 bits; everything beyond comes through here. A
window costs no more than the tiles or strips that it touches.
"""

import io
import os
import struct
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image

from s4mim_jax.config.errors import InputError

_MAGIC = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')  # classic and BigTIFF in both byte orders
_LOSSLESS = (1, 8, 32773, 32946)  # none, deflate, PackBits, deflate: decoded alike by everybody
_WHITE_IS_ZERO, _PALETTE, _YCBCR = 0, 3, 6  # PhotometricInterpretation
_ALPHA = (1, 2)  # ExtraSamples: associated and unassociated alpha

# What tifffile raises on damaged files, depending on where in the file the damage is.
_DAMAGED = (tifffile.TiffFileError, OSError, ValueError, EOFError, IndexError, TypeError, KeyError, RuntimeError,
            struct.error)


class NeedsCodec(InputError):
    """The compression is one that tifffile alone does not know."""


class Layout(NamedTuple):
    """A file's first image: rows, columns, bands; the type of the values; whether the last band is alpha;
    EXIF orientation; whether windows can be read; whether Pillow decodes it to the same 8-bit RGB."""

    height: int
    width: int
    bands: int
    dtype: np.dtype
    alpha: bool
    orientation: int
    windows: bool
    plain_rgb: bool


def is_tiff(data: bytes) -> bool:
    """By the first four bytes."""
    return data[:4] in _MAGIC


def layout(source: bytes | str, name: str) -> Layout:
    """Reads the header only.

    Args:
      source: encoded bytes, or the path of a file.
      name: for messages.

    Raises:
      InputError: no TIFF, damaged, or more than rows, columns and bands.
    """
    return _with_file(source, name, lambda file: _layout(file, name))


def read(source: bytes | str, name: str, window: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """Values as the tags say, without regard to the orientation: where 0 is white they are turned round, palettes give
    their colours, and YCbCr becomes RGB.

    Args:
      source: encoded bytes, or the path of a file.
      name: for messages.
      window: (top, left, height, width) inside the image, for files with `Layout.windows`; None = all.

    Returns:
      [h, w, bands] of the type that `layout` tells.

    Raises:
      InputError: as `layout`, or truncated. NeedsCodec: compressed by a method that imagecodecs brings.
    """
    def whole(file):
        found = _layout(file, name)
        page = file.pages[0]
        if window is not None:
            return _as_shown(_read_window(file, page, window), page)
        values = file.series[0].asarray()
        return _as_shown(_bands_last(values, file.series[0].axes, name)[:found.height], page)

    return _with_file(source, name, whole)


def _as_shown(values: np.ndarray, page) -> np.ndarray:
    photometric = int(page.photometric)
    if photometric == _WHITE_IS_ZERO and values.dtype.kind in 'bu':
        return ~values if values.dtype == bool else values.dtype.type(2 ** page.bitspersample - 1) - values
    if photometric == _PALETTE and page.colormap is not None:
        return (page.colormap >> 8).astype(np.uint8).T[values[..., 0]]
    if photometric == _YCBCR and values.shape[2:] == (3,) and int(page.compression) in _LOSSLESS:  # else decoded to RGB
        return np.asarray(Image.fromarray(np.ascontiguousarray(values), 'YCbCr').convert('RGB'))
    return values


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """[H, W, C] as stored -> upright, by the EXIF orientation 1 .. 8."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values


def _with_file(source, name, function):
    if not isinstance(source, bytes) and not os.path.isfile(source):
        raise InputError(f'{source}: cannot be read (no such file)')
    try:
        with tifffile.TiffFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            return function(file)
    except InputError:
        raise
    except _DAMAGED as error:
        text = str(error).partition('\n')[0]
        if 'imagecodecs' in text:
            raise NeedsCodec(f'{name}: {text}\npip install imagecodecs, or save the file without compression or with '
                             'deflate') from None
        raise InputError(f'{name}: damaged TIFF ({text})') from None


def _layout(file, name) -> Layout:
    series, page = file.series[0], file.pages[0]
    shape = dict(zip(series.axes, series.shape))
    height, width = shape.pop('Y', 0), shape.pop('X', 0)
    others = {axis: size for axis, size in shape.items() if size > 1}
    if not height or not width or len(others) > 1:
        raise InputError(f'{name}: TIFF with axes {series.axes} of sizes {series.shape}\n'
                         'valid: rows, columns and at most one more axis, the bands')
    bands = next(iter(others.values()), 1)
    single = len(series.pages) == 1
    compression, orientation = int(page.compression), int(getattr(page.tags.get(274), 'value', 1) or 1)
    upright = orientation not in range(2, 9)
    alpha = single and bands > 1 and bool(page.extrasamples) and int(page.extrasamples[-1]) in _ALPHA
    # Tiles may hold several bands, or one: `_read_window` knows both. Volumes of one page are left out.
    if int(page.photometric) == _PALETTE and bands == 1:
        return Layout(height, width, 3, np.dtype(np.uint8), False, 1 if upright else orientation, False, False)
    windows = single and upright and compression in _LOSSLESS and page.shaped[1] == 1
    plain_rgb = windows and int(page.photometric) == 2 and bands == 3 and series.dtype == np.uint8
    return Layout(height, width, bands, np.dtype(series.dtype), alpha, 1 if upright else orientation, windows,
                  plain_rgb)


def _bands_last(values: np.ndarray, axes: str, name: str) -> np.ndarray:
    order = [axes.index('Y'), axes.index('X')]
    rest = [i for i in range(values.ndim) if i not in order]
    return values.transpose(*order, *rest).reshape(values.shape[order[0]], values.shape[order[1]], -1)


def _read_window(file, page, window) -> np.ndarray:
    top, left, height, width = window
    planes, _, rows, columns, samples = page.shaped
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, rows), columns)
    down, across = -(-rows // tall), -(-columns // wide)
    out = np.zeros((planes, height, width, samples), page.dtype)
    for plane in range(planes):
        for i in range(top // tall, -(-(top + height) // tall)):
            for j in range(left // wide, -(-(left + width) // wide)):
                index = (plane * down + i) * across + j
                file.filehandle.seek(page.dataoffsets[index])
                data = file.filehandle.read(page.databytecounts[index])
                # A segment of no bytes is a hole, which reads as zeros.
                segment = page.decode(data, index, jpegtables=page.jpegtables)[0] if data else None
                if segment is not None:
                    _paste(out[plane], segment[0], (i * tall - top, j * wide - left))
    return np.moveaxis(out, 0, 2).reshape(height, width, planes * samples)


def _paste(out: np.ndarray, part: np.ndarray, corner: tuple[int, int]) -> None:
    """Copies the overlap of `part`, whose first pixel lies at `corner` of `out`."""
    spans = [(max(c, 0), min(c + p, o)) for c, p, o in zip(corner, part.shape, out.shape)]
    (top, bottom), (left, right) = spans
    out[top:bottom, left:right] = part[top - corner[0]:bottom - corner[0], left - corner[1]:right - corner[1]]
