"""labelme: a JSON file beside each image."""

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.label_formats.image_files import ImageFiles, image_id, split_of
from s4mim_jax.data.label_formats.label_set import FILE_ORDER, LabelSet, Picture, Region, class_list, require
from s4mim_jax.data.label_formats.names import given_names
from s4mim_jax.data.label_formats.regions import Bitmap, Rings, ellipse, rectangle, ring

_NO_AREA = ('line', 'linestrip', 'point', 'points')


def recognised(content) -> bool:
    """Whether parsed JSON is a labelme file."""
    return isinstance(content, dict) and 'shapes' in content and 'imagePath' in content


def read(folder: Path, files: dict[Path, Any]) -> LabelSet:
    """Reads labelme files.

    Args:
      folder: the dataset. files: its labelme files, parsed.

    Raises:
      InputError: a missing image, an image with two files, or a shape that is none.
    """
    images, pictures, left_out = ImageFiles(folder), {}, {}
    for file, content in files.items():
        below = _image(content, file, folder, images)
        size = tuple(content.get(key) for key in ('imageHeight', 'imageWidth'))
        if below in pictures:
            raise InputError(f'{file} and {pictures[below].file} label the same image {below}\n'
                             'valid: one labelme file an image')
        regions = []
        for number, shape in enumerate(require(content['shapes'], list, str(file), '`shapes`')):
            where = f'{file}, shape {number}'
            region = _region(require(shape, dict, where, 'the shape'), where)
            if isinstance(region, str):
                left_out[region] = left_out.get(region, 0) + 1
            else:
                regions.append(region)
        pictures[below] = Picture(image_id(below), images.paths[below], split_of(below), None if None in size else size,
                                  tuple(regions), str(file), str(file))
    names = sorted({region.label for picture in pictures.values() for region in picture.regions})
    classes, unpainted = class_list(names, given_names(folder))
    others = [Picture(image_id(below), path, split_of(below)) for below, path in images.paths.items()
              if below not in pictures]
    return LabelSet('labelme JSON', classes, (*pictures.values(), *others), FILE_ORDER, unpainted, {}, left_out)


def _image(content: dict, file: Path, folder: Path, images: ImageFiles) -> str:
    near = file.parent.relative_to(folder).as_posix()
    name = require(content['imagePath'], str, str(file), '`imagePath`')
    try:
        return images.find(name, str(file), '' if near == '.' else near)
    except InputError as error:
        beside = [below for below in images.paths if Path(below).with_suffix('') == Path(near) / file.stem]
        if len(beside) == 1:  # the image was renamed with its file
            return beside[0]
        raise error


def _region(shape: dict, where: str) -> Region | str:
    """The region of a shape, or the name of a kind of shape without an area."""
    kind, points = shape.get('shape_type') or 'polygon', shape.get('points')
    label = require(shape.get('label'), str, where, '`label`')
    if kind in _NO_AREA:
        return f'shapes of type {kind!r}, which have no area'
    if kind == 'polygon':
        return Region(label, Rings((ring(points, where),)), where)
    if kind not in ('rectangle', 'circle', 'mask'):
        raise InputError(f'{where}: shape_type {kind!r}\nvalid: polygon, rectangle, circle, mask')
    (x0, y0), (x1, y1) = ring(points, where, least=2)[:2].tolist()
    if kind == 'circle':
        radius = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        return Region(label, Rings((ellipse(x0, y0, radius, radius),)), where)
    if kind == 'rectangle':
        return Region(label, Rings((rectangle(min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)),)), where)
    try:
        png = base64.b64decode(require(shape.get('mask'), str, where, '`mask`'), validate=True)
    except binascii.Error:
        raise InputError(f'{where}: `mask` is no base64 text\nvalid: the bitmap that labelme writes') from None
    return Region(label, Bitmap(png, (int(min(y0, y1)), int(min(x0, x1)))), where)


def document(image_name: str, size: tuple[int, int], shapes: list[tuple[str, list]]) -> str:
    """A labelme file.

    Args:
      image_name: path of the image, from the file. size: (height, width).
      shapes: (label, [(x, y), ...]) in the order of painting.
    """
    return json.dumps({
        'version': '5.5.0', 'flags': {}, 'shapes': [
            {'label': label, 'points': points, 'group_id': None, 'description': '', 'shape_type': 'polygon',
             'flags': {}, 'mask': None} for label, points in shapes],
        'imagePath': image_name, 'imageData': None, 'imageHeight': size[0], 'imageWidth': size[1]}, indent=1)
