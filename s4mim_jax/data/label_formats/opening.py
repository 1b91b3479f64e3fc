"""An export as a dataset: its labels are painted when a mask is asked for, so nothing is written and nothing stale."""

import io
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.classes import voc_palette
from s4mim_jax.data.label_formats.label_set import LabelSet, Picture, render, upright_size
from s4mim_jax.data.label_formats.recognise import recognise
from s4mim_jax.data.source import Sample, Source, make_source, read_file

LARGEST = 255  # classes: ids must leave 255 free


def read_labels(folder: Path) -> LabelSet | None:
    """The export in a folder, checked as a whole; None where there is none.

    Raises:
      InputError: see `recognise` and the readers; two images of one id; nothing drawn at all; too many classes.
    """
    found = recognise(folder)
    if found is None:
        return None
    labels = found.read(folder, found.files)
    where = f'{folder} ({labels.format})'
    if len(labels.classes) > LARGEST:
        raise InputError(f'{where}: {len(labels.classes)} classes\nvalid: at most {LARGEST}')
    if not any(picture.labelled for picture in labels.pictures):
        raise InputError(f'{where}: nothing is drawn on any of the {len(labels.pictures)} images\n'
                         'valid: an export with at least one label')
    seen: dict[tuple[str, str], Picture] = {}
    for picture in labels.pictures:
        other = seen.setdefault((picture.split, picture.id), picture)
        if other is not picture:
            raise InputError(f'{picture.image} and {other.image} have the same id {picture.id!r}\n'
                             'valid: file names that differ, without their suffix too')
    return labels


def mask_of(picture: Picture, labels: LabelSet) -> np.ndarray:
    """Class ids uint8 [H, W] of a labelled picture, at the size of its image.

    Raises:
      InputError: see `render` and `upright_size`.
    """
    size = upright_size(picture, read_file(picture.image))
    if picture.ready is None:
        return render(picture, labels, size)
    ids = picture.ready(read_file(picture.file))
    if ids.shape != size:
        raise InputError(f'{picture.file}: mask is {ids.shape[0]}x{ids.shape[1]}, its image {picture.image} is '
                         f'{size[0]}x{size[1]} (height x width)')
    return ids


def palette_of(labels: LabelSet) -> np.ndarray:
    """uint8 [C, 3]: the export's colours, VOC's where it says none or two classes would share one."""
    palette = voc_palette()[:len(labels.classes)].copy()
    own = [labels.colors.get(name) for name in labels.classes]
    if len(set(filter(None, own))) == sum(color is not None for color in own):
        for number, color in enumerate(own):
            others = {tuple(c) for i, c in enumerate(palette.tolist()) if i != number}
            if color is not None and tuple(color) not in others:
                palette[number] = color
    return palette


def summary(labels: LabelSet) -> str:
    """A line for the start-up text: format, counts, rule of overlaps, what was left out."""
    labelled = [picture for picture in labels.pictures if picture.labelled]
    counts = ', '.join(f'{sum(p.split == split for p in labelled)} of {n} {split}' for split in ('train', 'val', 'test')
                       if (n := sum(p.split == split for p in labels.pictures)))
    rest = '' if labels.unpainted == IGNORE else f', the rest is {labels.classes[labels.unpainted]!r}'
    rest = ', the rest is ignored' if labels.unpainted == IGNORE else rest
    text = f'labels read from {labels.format}: {counts} images labelled; overlaps: {labels.order}{rest}'
    out = ''.join(f'; left out: {count} {what}' for what, count in labels.left_out.items())
    return text + out


def open_export(folder: Path, data) -> Source | None:
    """The Source of a folder that holds an export; None where it holds none.

    Args:
      folder: the dataset. data: `config.data`.

    Raises:
      InputError: see `read_labels`; no labelled or unlabelled image in 'train'.
    """
    labels = read_labels(folder)
    if labels is None:
        return None
    drawn, splits = {}, {}
    for picture in labels.pictures:
        mask = None
        if picture.labelled:
            mask = f'{picture.file}#{picture.split}/{picture.id}'
            drawn[mask] = picture
        if mask or picture.split == 'train':  # an unlabelled image that is held out serves nobody
            splits.setdefault(picture.split, []).append(Sample(picture.id, picture.image, mask))
    if 'train' not in splits:
        raise InputError(f'{folder} ({labels.format}): no training images\n'
                         'valid: images outside of folders or files called val or test')
    splits = {name: tuple(sorted(samples, key=lambda s: s.id)) for name, samples in splits.items()}
    return make_source(folder, data, labels.classes, palette_of(labels), splits,
                       read_bytes=_reader(drawn, labels), stamp=_stamper(drawn, labels), notes=(summary(labels),))


def _reader(drawn: dict[str, Picture], labels: LabelSet) -> Callable[[str], bytes]:
    def read(path: str) -> bytes:
        if path not in drawn:
            return read_file(path)
        png = io.BytesIO()
        Image.fromarray(mask_of(drawn[path], labels)).save(png, 'png', compress_level=1)
        return png.getvalue()
    return read


def _stamper(drawn: dict[str, Picture], labels: LabelSet) -> Callable[[str], list[int] | None]:
    """Facts of a mask hold while its annotation file, its image and the list of classes stay as they are."""
    classes = zlib.crc32(repr((labels.classes, labels.unpainted, labels.order)).encode())

    def stamp(path: str) -> list[int] | None:
        picture = drawn.get(path)
        try:
            parts = [os.stat(p) for p in ((picture.file, picture.image) if picture else (path,))]
        except OSError:
            return None
        return [n for part in parts for n in (part.st_size, part.st_mtime_ns)] + ([classes] if picture else [])
    return stamp
