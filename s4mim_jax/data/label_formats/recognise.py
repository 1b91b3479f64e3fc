"""Which annotation tool wrote what lies in a folder: told by the content of its files, not by their names alone."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.label_formats import coco, cvat, label_studio, labelme, roboflow, yolo
from s4mim_jax.data.label_formats.label_set import LabelSet
from s4mim_jax.data.label_formats.text import read_json, read_yaml

DEPTH = 4  # folders below the dataset in which annotation files are looked for
NAMES = ('labelme JSON', 'COCO JSON', 'Label Studio JSON', 'CVAT for images 1.1', 'CVAT Segmentation mask 1.1',
         'Roboflow masks', 'YOLO segmentation')


class Found(NamedTuple):
    """An export. files: path -> parsed content. read: (folder, files) -> LabelSet."""

    read: Callable[[Path, dict[Path, Any]], LabelSet]
    files: dict[Path, Any]


def recognise(folder: Path) -> Found | None:
    """The export in a folder; None where there is none.

    Raises:
      InputError: a JSON file that cannot be read, where nothing else tells the format or others are of labelme;
        or files of two formats.
    """
    names = _files(folder)
    ends = lambda *suffixes: [path for path in names if path.suffix.lower() in suffixes]
    for path in ends('.yaml', '.yml'):
        if path.name in yolo.NAMES and path.parent == folder and yolo.recognised(content := read_yaml(path)):
            return Found(yolo.read, {path: content})
    tables = [path for path in names if path.name == roboflow.TABLE]
    if tables:
        return Found(roboflow.read, dict.fromkeys(tables))
    maps = [path for path in names if path.name == cvat.LABELMAP and (path.parent / 'SegmentationClass').is_dir()]
    if maps:
        return Found(cvat.read_masks, dict.fromkeys(maps[:1]))
    sheets = [path for path in ends('.xml') if _begins_annotations(path)]
    if sheets:
        return Found(cvat.read_images, dict.fromkeys(sheets))
    return _recognise_json(ends('.json'))


def _recognise_json(paths: list[Path]) -> Found | None:
    kinds, broken = {}, []
    for path in paths:
        try:
            content = read_json(path)
        except InputError as error:
            broken.append((path, error))
            continue
        for module in (labelme, coco, label_studio):
            if module.recognised(content):
                kinds.setdefault(module, {})[path] = content
    if broken and (not kinds or set(kinds) == {labelme}):
        raise broken[0][1]
    if len(kinds) > 1:
        first, second = [next(iter(files)) for files in kinds.values()][:2]
        raise InputError(f'{first} and {second} are of two formats\nvalid: the export of one tool in a folder')
    return next((Found(module.read, files) for module, files in kinds.items()), None)


def _files(folder: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder):
        depth = len(Path(parent).relative_to(folder).parts)
        folders[:] = sorted(n for n in folders if not n.startswith(('.', '__MACOSX'))) if depth < DEPTH else []
        found += [Path(parent, name) for name in sorted(names) if not name.startswith('.')
                  and name.lower().endswith(('.json', '.xml', '.yaml', '.yml', '.csv', '.txt'))]
    return found


def _begins_annotations(path: Path) -> bool:
    """CVAT's root element near the beginning: VOC has `<annotation>`, one file an image."""
    with open(path, 'rb') as file:
        return b'<annotations' in file.read(2000)
