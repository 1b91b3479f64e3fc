"""What a person hands to a predictor: paths, Pillow's images, arrays; what the network takes: uint8 [H, W, C]."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.images import decode_image, picture_bands
from s4mim_jax.data.files.pixel_format import PixelFormat


def is_one(images) -> bool:
    """Whether it is one image and not several."""
    return isinstance(images, str | os.PathLike | Image.Image) or getattr(images, 'ndim', None) == 3


def as_bytes(image, form: PixelFormat, name: str) -> np.ndarray:
    """One image as uint8 [H, W, form.channels].

    Args:
      image: a path; a Pillow image; an array [H, W, channels], or [H, W] where one channel is wanted. Arrays are
        uint8; with a `data.value_range` raw values of it, of any type.
      form: channels and value range of the model. name: for messages.

    Raises:
      InputError: no such file, another shape, or values that are not bytes.
    """
    if isinstance(image, str | os.PathLike):
        path = Path(image)
        if path.is_dir():
            raise InputError(f'{name}: {path} is a folder\nvalid: the path of an image, or a list of them')
        try:
            return decode_image(path.read_bytes(), str(path), form)
        except OSError as error:
            raise InputError(f'{name}: {path} cannot be read ({error.strerror})') from None
    if isinstance(image, Image.Image):
        return picture_bands(image, name, form)
    if not hasattr(image, 'dtype'):
        raise InputError(f'{name}: {type(image).__name__}\nvalid: a path, a Pillow image or an array')
    array = np.asarray(image)
    if array.ndim == 2 and form.channels == 1:
        array = array[:, :, None]
    wanted = f'[H, W, {form.channels}]{", RGB" if form.plain else ""}'
    if array.ndim != 3 or array.shape[2] != form.channels or 0 in array.shape:
        raise InputError(f'{name}: {array.dtype} of shape {array.shape}\nvalid: uint8 {wanted}')
    if array.dtype == np.uint8:
        return array
    if form.value_range is None or array.dtype.kind not in 'iuf':
        span = f' of values {array.min():g} .. {array.max():g}' if array.dtype.kind in 'iuf' else ''
        raise InputError(f'{name}: {array.dtype}{span}\nvalid: uint8 {wanted}, 0 .. 255'
                         + ('; of numbers in 0 .. 1: (255 * image).round().astype("uint8")' if span else ''))
    return form.to_bytes(array, name)
