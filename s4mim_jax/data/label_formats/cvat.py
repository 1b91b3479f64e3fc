"""CVAT: `CVAT for images 1.1` (XML), and `Segmentation mask 1.1` (colour PNGs with labelmap.txt)."""

from pathlib import Path
from typing import Any

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.mask_colors import color_table
from s4mim_jax.data.files.mask_file import decode_mask
from s4mim_jax.data.label_formats.image_files import ImageFiles, image_id, split_of
from s4mim_jax.data.label_formats.label_set import (
    BACKGROUND_NAMES,
    ONE_CLASS,
    Z_ORDER,
    LabelSet,
    Picture,
    Region,
    class_list,
)
from s4mim_jax.data.label_formats.names import given_names
from s4mim_jax.data.label_formats.regions import Rings, Runs, ellipse, rectangle, ring
from s4mim_jax.data.label_formats.text import read_text, read_xml

LABELMAP = 'labelmap.txt'
_NO_AREA = ('polyline', 'points', 'tag', 'skeleton', 'cuboid')


def read_images(folder: Path, files: dict[Path, Any]) -> LabelSet:
    """Reads `annotations.xml` files.

    Args:
      folder: the dataset. files: its XML files (keys).

    Raises:
      InputError: a video export, missing or repeated images, labels that the task does not list, numbers that are none.
    """
    images, pictures, names, colors, left_out = ImageFiles(folder), {}, [], {}, {}
    for file in files:
        root = read_xml(file)
        if root.find('track') is not None:
            raise InputError(f'{file}: an export for videos\nvalid: export as `CVAT for images 1.1`')
        near = file.parent.relative_to(folder).as_posix()
        for label in root.iter('label'):
            if label.findtext('name'):
                names.append(label.findtext('name'))
                colors[names[-1]] = _color(label.findtext('color') or '')
        for entry in root.iter('image'):
            where = f'{file}, image {entry.get("name")!r}'
            below = images.find(entry.get('name') or '', where, '' if near == '.' else near, entry.get('subset') or '')
            if below in pictures:
                raise InputError(f'{where}: listed twice\nvalid: every image once')
            regions = []
            for number, shape in enumerate(entry):
                place = f'{where}, shape {number} ({shape.tag})'
                if shape.tag in _NO_AREA:
                    name = f'shapes of type {shape.tag!r}, which have no area'
                    left_out[name] = left_out.get(name, 0) + 1
                    continue
                label = shape.get('label')
                if names and label not in names:
                    raise InputError(f'{place}: label {label!r} is not among the labels of the task\n'
                                     f'valid: {", ".join(names)}')
                level = int(_number(shape, 'z_order', place, 0))
                regions.append(Region(label or '', _shape(shape, place), place, level))
            size = tuple(int(_number(entry, key, where)) for key in ('height', 'width'))
            pictures[below] = Picture(image_id(below), images.paths[below], split_of(entry.get('subset') or below),
                                      size, tuple(regions), where, str(file))
    used = sorted({region.label for picture in pictures.values() for region in picture.regions})
    classes, unpainted = class_list(list(dict.fromkeys(names)) or used, given_names(folder))
    others = [Picture(image_id(below), path, split_of(below)) for below, path in images.paths.items()
              if below not in pictures]
    return LabelSet('CVAT for images 1.1', classes, (*pictures.values(), *others), Z_ORDER, unpainted,
                    {name: color for name, color in colors.items() if color}, left_out)


def _color(text: str) -> tuple[int, int, int] | None:
    digits = text.lstrip('#')
    try:
        return tuple(bytes.fromhex(digits)) if len(digits) == 6 else None
    except ValueError:
        return None


def _number(element, key: str, where: str, default: float | None = None) -> float:
    text = element.get(key)
    if text is None and default is not None:
        return default
    try:
        return float(text)
    except (TypeError, ValueError):
        raise InputError(f'{where}: {key} is {text!r}\nvalid: a number') from None


def _shape(shape, where: str) -> Rings | Runs:
    number = lambda key, default=None: _number(shape, key, where, default)
    if shape.tag == 'polygon':
        try:
            points = [[float(v) for v in pair.split(',')] for pair in (shape.get('points') or '').split(';') if pair]
        except ValueError:
            raise InputError(f'{where}: points {shape.get("points")[:40]!r}\nvalid: x,y;x,y;...') from None
        return Rings((ring(points, where),))
    angle = number('rotation', 0)
    if shape.tag == 'box':
        left, top, right, bottom = (number(key) for key in ('xtl', 'ytl', 'xbr', 'ybr'))
        corners = rectangle(left, top, right - left, bottom - top)
        middle, turn = corners.mean(0), np.deg2rad(angle)  # CVAT turns about the middle
        rotation = np.array([(np.cos(turn), np.sin(turn)), (-np.sin(turn), np.cos(turn))])
        return Rings(((corners - middle) @ rotation + middle,))
    if shape.tag == 'ellipse':
        return Rings((ellipse(number('cx'), number('cy'), number('rx'), number('ry'), angle),))
    if shape.tag == 'mask':
        try:
            counts = np.array([int(n) for n in (shape.get('rle') or '').split(',')], np.int64)
        except ValueError:
            text = (shape.get('rle') or '')[:40]
            raise InputError(f'{where}: rle {text!r}\nvalid: whole numbers with commas between') from None
        return Runs(counts, (int(number('height')), int(number('width'))), by_column=False,
                    corner=(int(number('top')), int(number('left'))))
    raise InputError(f'{where}: a shape of unknown kind\nvalid: polygon, mask, box, ellipse')


def labelmap(path: Path) -> tuple[list[str], list[tuple[int, int, int]]]:
    """Names and colours of a labelmap.txt, `label:r,g,b:parts:actions` a line.

    Raises:
      InputError: a line of another form.
    """
    names, colors = [], []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        line = line.split('#')[0].strip() if line.startswith('#') else line.strip()
        if not line:
            continue
        name, _, rest = line.partition(':')
        parts = rest.split(':')[0].split(',')
        if not name or len(parts) != 3 or not all(p.strip().isdecimal() and int(p) < 256 for p in parts):
            raise InputError(f'{path}, line {number}: {line!r}\nvalid: label:r,g,b:: with numbers 0..255')
        names.append(name)
        colors.append(tuple(int(p) for p in parts))
    if not names:
        raise InputError(f'{path}: no label\nvalid: label:r,g,b:: a line')
    return names, colors


def read_masks(folder: Path, files: dict[Path, Any]) -> LabelSet:
    """Reads `labelmap.txt` with `SegmentationClass/`: masks by colour, indices where they have one channel.

    Args:
      folder: the dataset. files: the labelmap.txt (key).
    """
    file = next(iter(files))
    names, colors = labelmap(file)
    first = next((i for i, n in enumerate(names) if n.lower() in BACKGROUND_NAMES), None)
    if first is not None:  # background becomes class 0, wherever the file lists it
        names.insert(0, names.pop(first))
        colors.insert(0, colors.pop(first))
    table = color_table(list(enumerate(colors)), dict(enumerate(names)), LABELMAP, palettes=True)
    if table.problem:
        raise InputError(f'{file}: {table.problem}\nvalid: every label with a colour of its own')
    root = file.parent
    masks = {image_id(below): path for below, path in ImageFiles(root / 'SegmentationClass').paths.items()}
    images, pictures = ImageFiles(folder), []
    splits = {stem: split_of(path.stem) for path in sorted((root / 'ImageSets/Segmentation').glob('*.txt'))
              for stem in read_text(path).split()}
    inside = [p for p in images.paths if 'SegmentationClass' not in p.split('/') and
              'SegmentationObject' not in p.split('/')]
    stems = {image_id(below): below for below in inside}
    for stem, path in masks.items():
        name = next((n for n in (stem, stem.rsplit('/', 1)[-1]) if n in stems), None)
        if name is None:
            raise InputError(f'{path}: no image {stem} in {folder}\nvalid: the images of the task beside the masks '
                             '(export with `Save images`)')
        pictures.append(Picture(name, images.paths[stems.pop(name)], splits.get(stem, 'train'), None, (), path, path,
                                lambda data, path=path: decode_mask(data, path, table)))
    pictures += [Picture(name, images.paths[below], split_of(below)) for name, below in stems.items()]
    return LabelSet('CVAT Segmentation mask 1.1', tuple(names), tuple(pictures), ONE_CLASS, 0, dict(zip(names, colors)))
