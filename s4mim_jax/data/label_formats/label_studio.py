"""Label Studio: JSON and JSON-MIN exports with polygons, rectangles, ellipses and brushes."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.label_formats.image_files import ImageFiles, image_id, split_of
from s4mim_jax.data.label_formats.label_set import (
    LARGER_FIRST,
    LabelSet,
    Picture,
    Region,
    class_list,
    require,
)
from s4mim_jax.data.label_formats.names import given_names
from s4mim_jax.data.label_formats.regions import Layer, Rings, ellipse, rectangle, ring
from s4mim_jax.data.label_formats.run_lengths import brush_alpha

_KINDS = ('polygonlabels', 'brushlabels', 'rectanglelabels', 'ellipselabels', 'labels')


def recognised(content) -> bool:
    """Whether parsed JSON is a list of tasks of Label Studio, or one task."""
    tasks = content if isinstance(content, list) else [content]
    return bool(tasks) and isinstance(tasks[0], dict) and (
        ('annotations' in tasks[0] and isinstance(tasks[0].get('data'), dict)) or _results_of_min(tasks[0]) is not None)


def read(folder: Path, files: dict[Path, Any]) -> LabelSet:
    """Reads exports.

    A task without an annotation that was submitted is unlabelled; of several the last one counts.

    Args:
      folder: the dataset. files: its exports, parsed.

    Raises:
      InputError: missing images, an image with two tasks, regions without a label, or sizes that differ.
    """
    images, pictures, left_out = ImageFiles(folder), {}, {}
    for file, content in files.items():
        for number, task in enumerate(content if isinstance(content, list) else [content]):
            where = f'{file}, task {require(task, dict, str(file), f"task {number}").get("id", number)}'
            below = images.find(_image_name(task, where), where)
            if below in pictures:
                raise InputError(f'{where}: the image {below} has another task already\nvalid: one task an image')
            size, regions = _regions(task, where, left_out)
            pictures[below] = Picture(image_id(below), images.paths[below], split_of(below), size, tuple(regions),
                                      where, str(file))
    names = sorted({region.label for picture in pictures.values() for region in picture.regions})
    classes, unpainted = class_list(names, given_names(folder))
    others = [Picture(image_id(below), path, split_of(below)) for below, path in images.paths.items()
              if below not in pictures]
    return LabelSet('Label Studio JSON', classes, (*pictures.values(), *others), LARGER_FIRST, unpainted, {}, left_out)


def _image_name(task: dict, where: str) -> str:
    values = task['data'] if isinstance(task.get('data'), dict) else task
    key = 'image' if isinstance(values.get('image'), str) else next(
        (k for k, v in values.items() if isinstance(v, str) and '.' in v and ('/' in v or k in ('img', 'url'))), None)
    if key is None:
        raise InputError(f'{where}: its data name no image\nvalid: data.image')
    text = values[key]
    local = parse_qs(urlparse(text).query).get('d')  # /data/local-files/?d=folder/name.jpg
    return local[0] if local else unquote(urlparse(text).path if '://' in text else text)


def _results_of_min(task: dict) -> list | None:
    """Results of a task of JSON-MIN: lists of objects that know the image's size; None where there are none."""
    found = [value for value in task.values() if isinstance(value, list) and value
             and isinstance(value[0], dict) and 'original_width' in value[0]]
    return [result for value in found for result in value] if found else None


def _regions(task: dict, where: str, left_out: dict) -> tuple[tuple[int, int] | None, list[Region]]:
    if 'annotations' in task:
        given = [a for a in require(task['annotations'], list, where, '`annotations`')
                 if isinstance(a, dict) and not a.get('was_cancelled')]
        results = require(given[-1].get('result', []), list, where, '`result`') if given else []
    else:
        results = _results_of_min(task) or []
    size, regions = None, []
    for number, result in enumerate(results):
        place = f'{where}, result {number}'
        value = require(result, dict, place, 'it').get('value', result)
        kind = next((k for k in _KINDS if value.get(k)), None)
        if kind is None:
            drawn = 'points' in value or 'rle' in value
            if drawn and result.get('type') != 'keypoint':
                raise InputError(f'{place}: a region without a label\nvalid: a label for every region')
            name = f'results of type {result.get("type", "?")!r}, which are no areas of a class'
            left_out[name] = left_out.get(name, 0) + 1
            continue
        own = tuple(require(result.get(key, value.get(key)), int, place, f'`{key}`')
                    for key in ('original_height', 'original_width'))
        if size not in (None, own):
            raise InputError(f'{place}: drawn on {own[0]} x {own[1]}, other regions of the task on {size[0]} x '
                             f'{size[1]} (height x width)\nvalid: one size an image')
        size = own
        regions.append(Region(require(value[kind][0], str, place, 'its label'), _shape(value, size, place), place))
    return size, regions


def _shape(value: dict, size: tuple[int, int], where: str) -> Rings | Layer:
    """Coordinates are percent of width and height; a turned rectangle or ellipse is turned in pixels."""
    if 'rle' in value:
        return Layer(brush_alpha(value['rle'], size, where) > 127)
    height, width = size
    number = lambda key: float(require(value.get(key, 0), (int, float), where, f'`{key}`'))
    if 'points' in value:
        return Rings((ring(value['points'], where) / 100,), relative=True)
    angle = number('rotation')
    if 'radiusX' in value:
        points = ellipse(number('x') * width / 100, number('y') * height / 100, number('radiusX') * width / 100,
                         number('radiusY') * height / 100, angle)
        return Rings((points.clip(0, (width, height)),))
    if 'width' in value and 'x' in value:
        points = rectangle(number('x') * width / 100, number('y') * height / 100, number('width') * width / 100,
                           number('height') * height / 100, angle)
        return Rings((points,))
    raise InputError(f'{where}: a region without an outline\nvalid: points, rle, or x, y, width, height')
