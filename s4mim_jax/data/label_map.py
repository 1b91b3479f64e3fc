"""`data.label_map`: which class each number of a mask is."""

import re

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE

_PAIR = re.compile(r'\s*(\d+)(?:\s*-\s*(\d+))?\s*:\s*(\d+)(?:\s*-\s*(\d+))?\s*')


def parse(label_map: str) -> dict[int, int]:
    """Number -> class or 255, in '0:0,255:1', '0:0,1-30:1' (thirty numbers, one class) or '1-150:0-149'.

    Raises:
      InputError: text of another form, numbers beyond 255, or a number with two classes.
    """
    found: dict[int, int] = {}
    for pair in label_map.split(','):
        match = _PAIR.fullmatch(pair)
        first, last, low, high = (None if g is None else int(g) for g in match.groups()) if match else (256,) * 4
        last, high = first if last is None else last, low if high is None else high
        if max(first, last, low, high) > 255 or last < first or high - low not in (0, last - first):
            raise InputError(f'--config.data.label_map={label_map}: {pair!r} is not VALUE:CLASS with '
                             f'numbers 0..255, nor a range of them\nvalid, for example: 0:0,255:1 or 0:0,1-30:1')
        for value in range(first, last + 1):
            target = low + (value - first if high > low else 0)
            if found.setdefault(value, target) != target:
                raise InputError(f'--config.data.label_map={label_map}: value {value} is given to the classes '
                                 f'{found[value]} and {target}\nvalid: one class a value')
    return found


def mask_lookup(label_map: str | None, default: dict[int, int] | None = None) -> np.ndarray:
    """Table of raw mask value -> class id.

    Args:
      label_map: `config.data.label_map`, see `parse`; values it leaves out become 255.
      default: changes to the identity when there is no label_map, e.g. {11: 255}.

    Returns:
      uint8 [256].

    Raises:
      InputError: as `parse`.
    """
    lookup = np.arange(256, dtype=np.uint8)
    for value, target in (default or {}).items():
        lookup[value] = target
    if label_map is None:
        return lookup
    lookup[:] = IGNORE
    for value, target in parse(label_map).items():
        lookup[value] = target
    return lookup


def require_targets(label_map: str | None, lookup: np.ndarray, num_classes: int) -> None:
    """Refuses a label_map that maps to classes the dataset does not have."""
    excess = sorted(set(lookup[(lookup >= num_classes) & (lookup != IGNORE)].tolist()))
    if label_map is not None and excess:
        raise InputError(f'--config.data.label_map={label_map} maps to class {excess[0]}\n'
                         f'valid: 0..{num_classes - 1} and {IGNORE} (ignore)')
