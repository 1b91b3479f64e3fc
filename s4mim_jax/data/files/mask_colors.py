"""Masks whose classes are colours: the colours of `classes.txt` as a table."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ColorTable:
    """Colour -> class id, 255 = ignored.

    Attributes:
      colors: ((r, g, b), id) pairs.
      palettes: masks with a palette are read by their colours too, not by their indices.
      problem: why the table cannot be used, '' if it can.
    """

    colors: tuple[tuple[tuple[int, int, int], int], ...]
    palettes: bool = False
    problem: str = ''


def color_table(colors: Iterable[tuple[int, tuple[int, int, int]]], names: dict[int, str], where: str, *,
                palettes: bool = False) -> ColorTable:
    """A table, with what is wrong with it: it matters only if there are colour masks.

    Args:
      colors: (class id or 255, (r, g, b)) pairs; 255 may have several.
      names: class id -> name of all classes. where: the file, for messages.
    """
    colors, known, problem = list(colors), {}, ''
    bare = [names[i] for i in sorted(names.keys() - {i for i, _ in colors})]
    if bare:
        problem = f'{where} gives class {bare[0]!r} no colour'
    for identity, color in colors:
        color = tuple(color)
        if known.setdefault(color, identity) != identity:
            problem = problem or f'{where} gives the colour {color} to the ids {known[color]} and {identity}'
    return ColorTable(tuple(known.items()), palettes, problem)


def color_ids(pixels: np.ndarray, table: ColorTable) -> tuple[np.ndarray, np.ndarray]:
    """Colours -> class ids.

    Args:
      pixels: uint8 [H, W, 3]. table: one without a problem.

    Returns:
      uint8 [H, W] class ids and 255, which is also where the colour is unknown; bool [H, W], where it is known.
    """
    ids = {r << 16 | g << 8 | b: i for (r, g, b), i in table.colors}
    codes = np.array(sorted(ids), np.uint32)
    codes_of = packed(pixels)
    place = np.minimum(np.searchsorted(codes, codes_of), len(codes) - 1)
    known = codes[place] == codes_of
    return np.where(known, np.array([ids[int(c)] for c in codes], np.uint8)[place], np.uint8(255)), known


def packed(pixels: np.ndarray) -> np.ndarray:
    """uint8 [..., 3] -> uint32 [...], 0xRRGGBB."""
    return pixels[..., 0].astype(np.uint32) << 16 | pixels[..., 1].astype(np.uint32) << 8 | pixels[..., 2]


def unpacked(code: int) -> tuple[int, int, int]:
    """0xRRGGBB -> (r, g, b)."""
    return code >> 16, code >> 8 & 255, code & 255
