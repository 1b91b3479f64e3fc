"""COCO JSON: polygons, run lengths as lists, and run lengths as text."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.label_formats.image_files import ImageFiles, image_id, split_of
from s4mim_jax.data.label_formats.label_set import (
    BACKGROUND_NAMES,
    LARGER_FIRST,
    LabelSet,
    Picture,
    Region,
    class_list,
    require,
)
from s4mim_jax.data.label_formats.names import given_names
from s4mim_jax.data.label_formats.regions import Rings, Runs, ring
from s4mim_jax.data.label_formats.run_lengths import coco_counts


def recognised(content) -> bool:
    """Whether parsed JSON is a COCO file of objects."""
    return isinstance(content, dict) and all(isinstance(content.get(k), list) for k in ('images', 'categories')) \
        and 'annotations' in content


def read(folder: Path, files: dict[Path, Any]) -> LabelSet:
    """Reads COCO files, one a split or one for all; the split is named by the file or its folder.

    Args:
      folder: the dataset. files: its COCO files, parsed.

    Raises:
      InputError: unknown ids, missing images, ids or images that occur twice, files whose categories differ, or
        annotations without a segmentation.
    """
    images, pictures, categories = ImageFiles(folder), {}, None
    for file, content in files.items():
        own = _categories(content, file)
        if categories is not None and own != categories:
            raise InputError(f'{file} and {next(iter(files))} list different categories\n'
                             'valid: the same ids and names in all files of a dataset')
        categories = own
        for picture in _pictures(content, file, folder, images, own):
            below = picture.image
            if below in pictures:
                raise InputError(f'{file} and {pictures[below].file} list the same image {below}\n'
                                 'valid: every image in one file')
            pictures[below] = picture
    used = Counter(region.label for picture in pictures.values() for region in picture.regions)
    # Roboflow writes the name of the dataset as category 0, above all others and never used.
    names = [name for name, parent in categories.values() if used[name] or name not in
             {parent for _, parent in categories.values()}]
    classes, unpainted = class_list(names, given_names(folder))
    found = [Picture(p.id, images.paths[below], p.split, p.size, p.regions, p.where, p.file)
             for below, p in pictures.items()]
    found += [Picture(image_id(below), path, split_of(below)) for below, path in images.paths.items()
              if below not in pictures]
    return LabelSet('COCO JSON', classes, tuple(found), LARGER_FIRST, unpainted)


def _categories(content: dict, file: Path) -> dict[int, tuple[str, str]]:
    """Category id -> (name, supercategory), in order of id."""
    found = {}
    for number, category in enumerate(content['categories']):
        where = f'{file}, categories[{number}]'
        identity = require(require(category, dict, where, 'it').get('id'), int, where, '`id`')
        if identity in found:
            raise InputError(f'{where}: category id {identity} is there twice\nvalid: every id once')
        found[identity] = (require(category.get('name'), str, where, '`name`'), str(category.get('supercategory', '')))
    names = Counter(name for name, _ in found.values())
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise InputError(f'{file}: two categories are called {twice[0]!r}\nvalid: names that differ')
    return dict(sorted(found.items()))


def _pictures(content: dict, file: Path, folder: Path, images: ImageFiles, categories: dict):
    near = file.parent.relative_to(folder).as_posix()
    split = split_of(file.relative_to(folder).as_posix(), '')
    entries, names = {}, {}
    for number, entry in enumerate(content['images']):
        where = f'{file}, images[{number}]'
        identity = require(entry, dict, where, 'it').get('id')
        name = require(entry.get('file_name'), str, where, '`file_name`')
        if identity in entries:
            raise InputError(f'{where}: image id {identity} is there twice\nvalid: every id once')
        below = images.find(name, where, '' if near == '.' else near, split)
        if below in names:
            raise InputError(f'{where}: the image {name!r} is listed twice\nvalid: every image once')
        names[below] = identity
        entries[identity] = (below, entry, where)
    regions = {identity: [] for identity in entries}
    for number, annotation in enumerate(require(content['annotations'], list, str(file), '`annotations`')):
        where = f'{file}, annotations[{number}] (id {require(annotation, dict, str(file), "it").get("id")})'
        identity, category = annotation.get('image_id'), annotation.get('category_id')
        if identity not in entries:
            raise InputError(f'{where}: image_id {identity} is not among the images\nvalid: ids of `images`')
        if category not in categories:
            raise InputError(f'{where}: category_id {category} is not among the categories\n'
                             f'valid: {", ".join(f"{i} ({name})" for i, (name, _) in list(categories.items())[:8])}')
        name, shape = categories[category][0], _shape(annotation.get('segmentation'), where)
        regions[identity].append(Region(name if name.lower() not in BACKGROUND_NAMES else 'background', shape, where))
    for identity, (below, entry, where) in entries.items():
        size = tuple(entry.get(key) for key in ('height', 'width'))
        yield Picture(image_id(below), below, split or split_of(below), None if None in size else size,
                      tuple(regions[identity]), where, str(file))


def _shape(segmentation, where: str) -> Rings | Runs:
    if isinstance(segmentation, dict):
        size = segmentation.get('size')
        if not (isinstance(size, list) and len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size)):
            raise InputError(f'{where}: run lengths with size {size!r}\nvalid: [height, width]')
        if not segmentation.get('counts'):
            raise InputError(f'{where}: run lengths without counts\nvalid: a list or the text of pycocotools')
        return Runs(coco_counts(segmentation['counts'], tuple(size), where), tuple(size), by_column=True)
    if isinstance(segmentation, list) and segmentation:
        parts = segmentation if isinstance(segmentation[0], list) else [segmentation]
        return Rings(tuple(ring(part, where) for part in parts))
    raise InputError(f'{where}: no segmentation, a box at most\nvalid: polygons or run lengths; export instance '
                     'segmentation, or delete the annotation')


def document(pictures: list[tuple[str, tuple[int, int], list[tuple[int, list]]]], classes) -> str:
    """A COCO file.

    Args:
      pictures: (path, (height, width), [(class id, [(x, y), ...]), ...]) an image.
      classes: names; a class's category id is its place plus 1, since many tools take 0 for background.
    """
    images, annotations = [], []
    for number, (name, size, shapes) in enumerate(pictures, 1):
        images.append({'id': number, 'file_name': name, 'height': size[0], 'width': size[1]})
        for label, points in shapes:
            xs, ys = [x for x, _ in points], [y for _, y in points]
            area = abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1]))) / 2
            annotations.append({
                'id': len(annotations) + 1, 'image_id': number, 'category_id': label + 1, 'iscrowd': 0, 'area': area,
                'bbox': [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)],
                'segmentation': [[value for point in points for value in point]]})
    categories = [{'id': i, 'name': name, 'supercategory': ''} for i, name in enumerate(classes, 1)]
    return json.dumps({'info': {'description': 'predictions'}, 'licenses': [], 'images': images,
                       'annotations': annotations, 'categories': categories})
