"""Predictions as outlines that annotation tools open, so that people correct shapes and not pixels."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.label_formats import coco, labelme
from s4mim_jax.data.label_formats.label_set import BACKGROUND_NAMES
from s4mim_jax.data.label_formats.outlines import outlines

KINDS = ('labelme', 'coco')
COCO_FILE, NAMES_FILE = 'annotations.coco.json', 'labels.txt'
IGNORED = '__ignore__'  # labelme's own name for pixels that do not count


class PolygonFiles:
    """Writes ID.json beside each prediction (labelme), or one annotations.coco.json at the end.

    Args:
      kind: 'labelme' | 'coco'. output: folder that exists. classes: C names.
      images: ID -> path of the image; labelme files name it relative to themselves.
      tolerance: pixels, see `outlines`.
    """

    def __init__(self, kind: str, output: Path, classes: Sequence[str], images: dict[str, Path],
                 tolerance: float = 1.0):
        if not 0 <= tolerance < 1000:
            raise InputError(f'--polygon_tolerance={tolerance:g}: pixels, from 0 (exact) on')
        self._kind, self._output, self._classes, self._images = kind, output, tuple(classes), images
        self._tolerance, self._written = tolerance, {}
        self._unpainted = next((i for i, n in enumerate(classes) if n.lower() in BACKGROUND_NAMES), IGNORE)
        # Without a class of that name what is not painted is ignored, and says so in a list of its own.

    def add(self, name: str, ids: np.ndarray) -> None:
        """Writes or keeps the outlines of an image; called from several threads.

        Args:
          name: the ID. ids: uint8 [H, W], IGNORE where there is no class.
        """
        shapes = outlines(ids, self._unpainted, self._tolerance)
        if self._kind == 'coco':
            self._written[name] = (ids.shape, shapes)
            return
        path = self._output / f'{name}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        image = os.path.relpath(self._images[name].resolve(), path.parent.resolve()).replace(os.sep, '/')
        named = [(IGNORED if label == IGNORE else self._classes[label], points) for label, points in shapes]
        path.write_text(labelme.document(image, ids.shape, named))
        self._written[name] = None

    def finish(self) -> str:
        """Writes what belongs to all images; returns a line about it."""
        if self._kind == 'labelme':
            (self._output / NAMES_FILE).write_text('\n'.join([IGNORED, *self._classes]) + '\n', encoding='utf-8')
            return (f'{len(self._written)} labelme files: labelme {self._output} --labels {self._output / NAMES_FILE} '
                    '--nodata; put them beside the images when they are right')
        paths = [self._images[name].resolve() for name in self._written]
        base = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
        pictures = [(path.relative_to(base).as_posix(), size, [
            (len(self._classes) if label == IGNORE else label, points) for label, points in shapes])
            for path, (size, shapes) in zip(paths, self._written.values())]
        path = self._output / COCO_FILE
        path.write_text(coco.document(pictures, [*self._classes, IGNORED]))
        return f'{path}: outlines of {len(pictures)} images, named from {base}'
