"""YOLO segmentation: data.yaml and a text file an image with `class x1 y1 x2 y2 ...`, shares of width and height."""

import os
from pathlib import Path
from typing import Any

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.label_formats.image_files import ImageFiles, image_id
from s4mim_jax.data.label_formats.label_set import LARGER_FIRST, LabelSet, Picture, Region, class_list
from s4mim_jax.data.label_formats.regions import Rings, ring
from s4mim_jax.data.label_formats.text import read_text

NAMES = ('data.yaml', 'data.yml', 'dataset.yaml', 'dataset.yml')


def recognised(content) -> bool:
    """Whether parsed YAML describes a YOLO dataset."""
    return isinstance(content, dict) and isinstance(content.get('names'), (list, dict)) and 'train' in content


def read(folder: Path, files: dict[Path, Any]) -> LabelSet:
    """Reads the dataset of a data.yaml; an image without a text file, or with an empty one, is unlabelled.

    Args:
      folder: the dataset. files: its data.yaml, parsed.

    Raises:
      InputError: folders that are not there, class ids that `names` does not list, boxes in place of outlines.
    """
    file, content = next(iter(files.items()))
    names = content['names']
    names = {int(k): str(v) for k, v in (names.items() if isinstance(names, dict) else enumerate(names))}
    if sorted(names) != list(range(len(names))):
        raise InputError(f'{file}: names of the ids {sorted(names)[:8]}\nvalid: 0, 1, 2, ... without a gap')
    classes, unpainted = class_list([names[i] for i in range(len(names))], None)
    images, pictures, taken = ImageFiles(folder), [], set()
    for split, key in (('train', 'train'), ('val', 'val'), ('test', 'test')):
        for place in _listed(content.get(key), folder, content, file, key):
            for below in (b for b in images.paths if place == '.' or b.startswith(f'{place}/')):
                if below not in taken:
                    taken.add(below)
                    text = _labels_of(folder, below)
                    regions = _regions(text, names) if text else ()
                    pictures.append(Picture(image_id(below), images.paths[below], split, None, regions, str(text),
                                            str(text or '')))
    pictures += [Picture(image_id(below), path, 'train') for below, path in images.paths.items() if below not in taken]
    return LabelSet('YOLO segmentation', classes, tuple(pictures), LARGER_FIRST, unpainted)


def _listed(entry, folder: Path, content: dict, file: Path, key: str) -> list[str]:
    """The image folders of a split, as paths below the dataset; absolute and `../` paths count from their end."""
    found = []
    for text in entry if isinstance(entry, list) else [entry] if entry else []:
        base = str(content.get('path') or '')
        for candidate in (os.path.join(file.parent, text), os.path.join(file.parent, base, text),
                          os.path.join(file.parent, text.replace('../', ''))):
            below = os.path.relpath(candidate, folder)
            if os.path.isdir(candidate) and not below.startswith('..'):
                found.append(below.replace(os.sep, '/'))
                break
        else:
            if key == 'train' or list(folder.glob(f'*{key}*')):
                raise InputError(f'{file}: {key}: {text}: no such folder in {folder}\n'
                                 'valid: a folder of images below data.yaml')
    return found


def _labels_of(folder: Path, below: str) -> Path | None:
    """labels/... in place of the last images/..., as Ultralytics looks for it; else beside the image."""
    parts, stem = list(Path(below).parts[:-1]), Path(below).stem
    if 'images' in parts:
        last = len(parts) - 1 - parts[::-1].index('images')
        parts[last] = 'labels'
    path = folder.joinpath(*parts, f'{stem}.txt')
    return path if path.is_file() else None


def _regions(path: Path, names: dict[int, str]) -> tuple[Region, ...]:
    regions = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words, where = line.split(), f'{path}, line {number}'
        if not words:
            continue
        try:
            identity, values = float(words[0]), [float(word) for word in words[1:]]
        except ValueError:
            raise InputError(f'{where}: {line[:40]!r}\nvalid: class x1 y1 x2 y2 x3 y3 ...') from None
        if identity not in names:
            raise InputError(f'{where}: class {words[0]} is not among the names of data.yaml\n'
                             f'valid: 0..{len(names) - 1}')
        if len(values) == 4:
            raise InputError(f'{where}: a box, not an outline\nvalid: class x1 y1 x2 y2 x3 y3 ... of a segmentation '
                             'export')
        regions.append(Region(names[int(identity)], Rings((ring(values, where),), relative=True), where))
    return tuple(regions)
