"""Channels, value range and statistics of a dataset's images, from a few of its files."""

import math
from dataclasses import dataclass

import numpy as np

from s4mim_jax.data.files import tiff
from s4mim_jax.data.files.images import open_image

EXTREMES = (0.1, 99.9)  # percentiles between which the range lies


@dataclass(frozen=True)
class PixelSettings:
    """Values of data.channels, value_range, mean and std; text: what was found, for a person."""

    channels: int
    value_range: tuple[float, float] | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    text: str


def pixel_settings(samples, source, config) -> PixelSettings:
    """Looks at the pixels of samples; what `config.data` sets already stays.

    One channel of 8 bits stays one. More than 8 bits get the range between the 0.1th and 99.9th percentile, rounded
    outwards to two digits. Statistics are measured for other than three channels; three keep ImageNet's.
    """
    images = [_raw(source.read_bytes(sample.image), sample.image) for sample in samples]
    bands = max(image.shape[2] for image in images)
    deep = any(image.dtype != np.uint8 for image in images)
    channels = config.channels if config.channels != 3 else bands
    span = tuple(config.value_range) if config.value_range else None
    if span is None and deep:
        values = np.concatenate([image[::7, ::7].ravel() for image in images]).astype(float)
        span = _rounded(*np.percentile(values[np.isfinite(values)], EXTREMES))
    mean, std = (tuple(v) if v else None for v in (config.mean, config.std))
    if channels != 3 and mean is None and all(image.shape[2] == channels for image in images):
        low, high = span or (0.0, 255.0)
        pixels = np.concatenate([image[::3, ::3].reshape(-1, channels) for image in images]).astype(float)
        scaled = np.clip((np.nan_to_num(pixels, nan=low) - low) / (high - low), 0, 1)
        mean = tuple(scaled.mean(0).round(3).tolist())
        std = tuple(np.maximum(scaled.std(0), 0.02).round(3).tolist())
    kind = f'values of {images[0].dtype} between {span[0]:g} and {span[1]:g}' if span else '8 bits'
    return PixelSettings(channels, span, mean, std, f'{channels} channel(s), {kind}')


def _raw(data: bytes, name: str) -> np.ndarray:
    """[H, W, bands] as stored, transparency left out."""
    if tiff.is_tiff(data):
        found, values = tiff.layout(data, name), tiff.read(data, name)
        return values[:, :, :-1] if found.alpha else values
    image = open_image(data, name)
    if image.mode in ('1', 'P', 'PA', 'CMYK', 'YCbCr', 'LAB', 'HSV', 'RGBX', 'RGBA'):
        image = image.convert('RGB' if image.mode != '1' else 'L')
    elif image.mode in ('LA', 'La'):
        image = image.convert('L')
    values = np.asarray(image)
    if values.dtype == np.int32 and values.min() >= 0 and values.max() < 2 ** 16:
        values = values.astype(np.uint16)
    return values.reshape(*values.shape[:2], -1)


def _rounded(low: float, high: float) -> tuple[float, float]:
    """Outwards to two digits of their distance; 0 where low is near it."""
    unit = 10.0 ** (math.floor(math.log10(max(high - low, 1e-6))) - 1)
    low = math.floor(low / unit) * unit if not 0 <= low < 0.05 * high else 0.0
    return float(low), float(max(math.ceil(high / unit) * unit, low + unit))
