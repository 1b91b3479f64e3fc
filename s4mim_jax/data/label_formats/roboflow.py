"""Roboflow `Semantic Segmentation Masks`: IMAGE_mask.png beside each image and _classes.csv in each split's folder."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.files.mask_file import decode_mask
from s4mim_jax.data.label_formats.image_files import ImageFiles, split_of
from s4mim_jax.data.label_formats.label_set import ONE_CLASS, LabelSet, Picture
from s4mim_jax.data.label_formats.text import read_text

TABLE, END = '_classes.csv', '_mask'


def read(folder: Path, files: dict[Path, Any]) -> LabelSet:
    """Reads an export; values that _classes.csv does not list are refused by name when a mask is read.

    Args:
      folder: the dataset. files: its _classes.csv (keys).

    Raises:
      InputError: tables that differ, or a line that is no number and name.
    """
    tables = {file: _table(file) for file in files}
    first, table = next(iter(tables.items()))
    for file, other in tables.items():
        if other != table:
            raise InputError(f'{file} and {first} list different classes\nvalid: the same in every split')
    values = sorted(table)
    lookup = np.full(256, -1, int)
    lookup[values] = range(len(values))
    lookup[IGNORE] = lookup[IGNORE] if IGNORE in table else IGNORE
    images, pictures = ImageFiles(folder, skip=(END,)), []
    for below, path in images.paths.items():
        mask = Path(path).with_name(Path(path).stem + END + '.png')
        if mask.is_file():
            pictures.append(Picture(Path(below).stem, path, split_of(below), None, (), str(mask), str(mask),
                                    lambda data, name=str(mask): _ids(data, name, lookup, values)))
        else:
            pictures.append(Picture(Path(below).stem, path, split_of(below)))
    return LabelSet('Roboflow masks', tuple(table[v] for v in values), tuple(pictures), ONE_CLASS, 0)


def _table(path: Path) -> dict[int, str]:
    found = {}
    for number, row in enumerate(csv.reader(read_text(path).splitlines()), 1):
        cells = [cell.strip() for cell in row]
        if not cells or (number == 1 and not cells[0].isdecimal()):
            continue
        if len(cells) != 2 or not cells[0].isdecimal() or int(cells[0]) > 255:
            raise InputError(f'{path}, line {number}: {",".join(row)!r}\nvalid: pixel value 0..255, class name')
        if int(cells[0]) in found:
            raise InputError(f'{path}, line {number}: pixel value {cells[0]} is there twice\nvalid: every value once')
        found[int(cells[0])] = cells[1]
    if not found:
        raise InputError(f'{path}: no class\nvalid: `Pixel Value, Class` and a line a class')
    return found


def _ids(data: bytes, name: str, lookup: np.ndarray, values: list[int]) -> np.ndarray:
    found = lookup[decode_mask(data, name)]
    if (found < 0).any():
        strange = sorted(set(np.unique(decode_mask(data, name)).tolist()) - set(values))
        raise InputError(f'{name}: values {", ".join(map(str, strange[:6]))} are not in {TABLE}\n'
                         f'valid: {", ".join(map(str, values))}')
    return found.astype(np.uint8)
