"""What the pixels of a dataset's images are, and how they become the bytes that the networks take."""

from dataclasses import dataclass

import numpy as np

from s4mim_jax.config.errors import InputError


@dataclass(frozen=True)
class PixelFormat:
    """Channels and value range of the images.

    Attributes:
      channels: of the array that an image is decoded to.
      value_range: (low, high), raw values that become 0 and 255; those outside are clipped. None: the
        files hold 8 bits, which stay as they are.

    The default, three channels of 8 bits, takes every file that Pillow makes a picture of: see
    `images.decode_image`. Any other format takes files of exactly that many channels.
    """

    channels: int = 3
    value_range: tuple[float, float] | None = None

    @property
    def plain(self) -> bool:
        """The default."""
        return self == PixelFormat()

    def to_bytes(self, values: np.ndarray, name: str) -> np.ndarray:
        """Raw values of any shape -> uint8: 255 (v - low) / (high - low), rounded half up, clipped.

        The range decides the precision: 256 steps of it. NaN, which stands for missing values, becomes 0.

        Raises:
          InputError: more than 8 bits, and no range.
        """
        if values.dtype == bool:
            values = values.astype(np.uint8) * np.uint8(255)
        if self.value_range is None:
            if values.dtype == np.uint8:
                return values
            finite = values[np.isfinite(values)] if values.dtype.kind == 'f' else values
            span = f'{finite.min():g} .. {finite.max():g}' if finite.size else 'none'
            raise InputError(
                f'{name}: values of type {values.dtype} ({span}), but --config.data.value_range=None takes 8 bits\n'
                'set --config.data.value_range="(LOW, HIGH)", the raw values that become black and white, such as '
                '(0, 4095) for 12 bits')
        low, high = self.value_range
        if values.dtype in (np.uint8, np.uint16):  # a table is exact and fast
            return self._scaled(np.arange(np.iinfo(values.dtype).max + 1), low, high)[values]
        return self._scaled(values, low, high)

    @staticmethod
    def _scaled(values, low, high):
        shares = (np.nan_to_num(values.astype(np.float64), nan=low) - low) / (high - low)
        return np.floor(np.clip(shares, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


PLAIN = PixelFormat()


def pixel_format(data) -> PixelFormat:
    """The format that `config.data` (channels, value_range) describes.

    Raises:
      InputError: no channel, or a range that is not (low, high) with low < high.
    """
    channels, span = data.channels, data.value_range
    if channels < 1:
        raise InputError(f'--config.data.channels={channels}: must be at least 1')
    if span is None:
        return PixelFormat(channels)
    numbers = [v for v in span if isinstance(v, (int, float)) and np.isfinite(v)]
    if len(span) != 2 or len(numbers) != 2 or not span[0] < span[1]:
        raise InputError(f'--config.data.value_range={tuple(span)}: must be (low, high) with low < high, '
                         'for example (0, 4095)')
    return PixelFormat(channels, (float(span[0]), float(span[1])))
