"""Class names and colours: `classes.txt` and the PASCAL VOC palette."""

from pathlib import Path

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.files.mask_colors import ColorTable, color_table
from s4mim_jax.data.files.text import read_lines


def voc_palette(count: int = 256) -> np.ndarray:
    """The palette of PASCAL VOC (its development kit's `VOClabelcolormap`).

    Bit 3k + c of the class id becomes bit 7 - k of channel c.

    Returns:
      uint8 [count, 3], RGB; count <= 256.
    """
    ids = np.arange(count)
    palette = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= ((ids >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return palette


def read_classes(path: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Reads `id name` or `id name r g b` lines; lines with id 255 name void, not a class.

    Returns:
      names (C) and palette uint8 [C, 3]; VOC's colours where the line has none.

    Raises:
      InputError: a line of another form, ids that are not 0 .. C-1 once each, or no class at all.
    """
    names, colors = _parse(path)
    palette = voc_palette()[:len(names)]
    for identity, color in colors:
        if identity != IGNORE:
            palette[identity] = color
    return tuple(names[i] for i in range(len(names))), palette


def read_colors(path: Path, mask_colors: str) -> ColorTable | None:
    """The colours of a classes.txt as the classes of colour masks.

    Args:
      path: the file. mask_colors: `config.data.mask_colors`: 'auto' reads masks without a palette by their
        colours, 'always' those with a palette too, 'never' none.
    """
    if mask_colors == 'never' or not path.is_file():
        return None
    names, colors = _parse(path)
    return color_table(colors, names, path.name, palettes=mask_colors == 'always')


def _parse(path: Path) -> tuple[dict[int, str], list[tuple[int, tuple[int, int, int]]]]:
    """Names of the classes, and (id, colour) of every line that has one, 255 among them."""
    names, colors = {}, []
    for number, line in enumerate(read_lines(path), 1):
        words = line.split('#')[0].split()
        if not words:
            continue
        numbers = [words[0], *words[2:]]
        if len(words) not in (2, 5) or not all(w.isdecimal() and int(w) <= 255 for w in numbers):
            raise InputError(f'{path}, line {number}: {line.strip()!r} is neither `id name` nor '
                             f'`id name r g b` with numbers 0..255')
        identity = int(words[0])
        if identity in names and identity != IGNORE:  # several colours may be ignored
            raise InputError(f'{path}, line {number}: class id {identity} was already named')
        names[identity] = words[1]
        if len(words) == 5:
            colors.append((identity, tuple(int(w) for w in words[2:])))
    names.pop(IGNORE, None)
    if sorted(names) != list(range(len(names))) or not names:
        raise InputError(f'{path}: class ids are {", ".join(map(str, sorted(names))) or "missing"}\n'
                         f'valid: 0, 1, 2, ... without a gap, and 255 for void')
    return names, colors
