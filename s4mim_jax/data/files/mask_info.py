"""What the scan keeps of a mask: enough to say what its numbers and colours mean, whatever the config."""

from dataclasses import dataclass

import numpy as np

from s4mim_jax.data.files.mask_colors import packed
from s4mim_jax.data.files.mask_file import StoredMask, read_mask

KEPT = 1024  # colours of a mask, the most frequent; no table has as many, so unknown ones are always among them


@dataclass(frozen=True)
class MaskInfo:
    """Size in pixels, upright, and what the visible pixels hold.

    Attributes:
      kind: 'gray8' = a plain gray PNG of 8 bits; 'other'.
      values: numbers that occur, ascending: gray levels as stored, or palette indices. () of a colour mask.
      form, bits: see `StoredMask`.
      colors: 0xRRGGBB, of each of the values of a palette, or the colours that occur, at most KEPT; () of a gray one.
      counts: pixels of each value, or of each colour.
      hidden: transparent pixels, which are in no count.
      turned: EXIF orientation, 1 = none.
    """

    height: int
    width: int
    kind: str
    values: tuple[int, ...]
    form: str = 'gray'
    bits: int = 8
    colors: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    hidden: int = 0
    turned: int = 1

    @property
    def shown(self) -> tuple[int | None, ...]:
        """Gray level 0..255 of each value as a viewer shows it; None where a palette has a colour."""
        if self.form == 'palette':
            return tuple(c & 255 if c & 255 == c >> 8 & 255 == c >> 16 else None for c in self.colors)
        return tuple(v * 255 // (2 ** self.bits - 1) if self.bits < 8 else v for v in self.values)


def mask_info(data: bytes, name: str, how=None) -> MaskInfo:
    """Decodes a mask and counts its values.

    Raises:
      InputError: as `read_mask`.
    """
    return info_of(read_mask(data, name))


def info_of(mask: StoredMask) -> MaskInfo:
    """Counts the values of a mask that is decoded."""
    visible = slice(None) if mask.hidden is None else ~mask.hidden.ravel()
    hidden = 0 if mask.hidden is None else int(mask.hidden.sum())
    kind = 'gray8' if mask.plain and mask.turned == 1 else 'other'
    if mask.numbers is None:
        codes, counts = _colors(packed(mask.rgb).ravel()[visible])
        return MaskInfo(*mask.shape, kind, (), mask.form, mask.bits, codes, counts, hidden, mask.turned)
    counts = np.bincount(mask.numbers.ravel()[visible], minlength=256)
    values = np.flatnonzero(counts)
    colors = packed(mask.palette[values]).tolist() if mask.form == 'palette' else ()
    return MaskInfo(*mask.shape, kind, tuple(values.tolist()), mask.form, mask.bits, tuple(colors),
                     tuple(counts[values].tolist()), hidden, mask.turned)


def _colors(codes: np.ndarray) -> tuple[tuple[int, ...], tuple[int, ...]]:
    # Neighbours are mostly of one colour: sorting one pixel a run of equals is ten times as fast.
    starts = np.flatnonzero(np.diff(codes, prepend=codes[:1] ^ 1)) if len(codes) else np.zeros(0, np.int64)
    lengths = np.diff(starts, append=len(codes))
    found, place = np.unique(codes[starts], return_inverse=True)
    counts = np.bincount(place, weights=lengths, minlength=len(found)).astype(np.int64)
    order = np.argsort(-counts, kind='stable')[:KEPT]
    return tuple(found[order].tolist()), tuple(counts[order].tolist())
