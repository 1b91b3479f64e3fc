"""Pseudo-labels as files: masks in the data-folder format, to be corrected and learned from in the next run."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from s4mim_jax import data
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.classes import voc_palette
from s4mim_jax.data.files.listing import composed
from s4mim_jax.data.label_map import mask_lookup
from s4mim_jax.prediction.correction_page import write_page
from s4mim_jax.prediction.files import clashing_files, find_images, write_overlay

LIST = 'confidence.csv'
VOID = (96, 96, 96)  # colour of pixels without a class; they are transparent as well, which every reading ignores


@dataclass(frozen=True)
class Entry:
    """Of one image: mean probability of the chosen classes, share of pixels that kept a class."""

    id: str
    confidence: float
    kept: float


def unlabelled_images(config) -> tuple[list[Path], list[str]]:
    """Paths and ids of the run's unlabelled training images, those with a mask in use left out.

    Raises:
      InputError: the dataset cannot be opened, or has no such image.
    """
    source = data.open_source(config.data)
    split = data.training_split(source, config.data.split, config.seed)
    labeled = {sample.image for sample in split.labeled}
    rest = [sample for sample in split.unlabeled if sample.image not in labeled]
    if not rest:
        raise InputError(f'{source.dir}: every training image of split {split.name!r} is labelled\n'
                         'name the images or folders after the options')
    return [Path(sample.image) for sample in rest], [sample.id for sample in rest]


def named_images(arguments: Sequence[str], output: Path, left: list | None = None) -> tuple[list[Path], list[str]]:
    """Paths and ids of images and folders: the path below the folder without suffix, as in a dataset.

    Args: as of `find_images`.

    Raises:
      InputError: as `find_images`; or two images whose results would have the same name.
    """
    names: dict[Path, str] = {}
    for argument in arguments:
        folder = Path(argument)
        for path in find_images([argument], output, left):
            below = path.relative_to(folder) if folder in path.parents else Path(path.name)
            names.setdefault(path, composed(below.with_suffix('').as_posix()))
    clash = clashing_files(names.values())
    if clash:
        first, second = [path for path, name in names.items() if name.lower() in clash][:2]
        raise InputError(f'{first} and {second} would write the same pseudo-label\n'
                         'valid: images whose paths below the named folders differ')
    return list(names), list(names.values())


class PseudoLabels:
    """Writes masks with 255 where the network is less sure than a threshold.

    Args:
      output: folder. threshold: probability from which a pixel keeps its class.
      classes: C. palette: uint8 [C, 3].
      label_map: `config.data.label_map` of the run. Masks are written in the values that it maps, so that
        they can lie beside the masks that the run learned from.
      masks: how the run read those, see `MaskMeaning.record`: their numbers and palette are taken over. None = a run
        that recorded nothing.

    Raises:
      InputError: a threshold outside 0..1, or a label_map in which a class or `ignore` has no value.
    """

    def __init__(self, output: Path, threshold: float, classes: Sequence[str], palette: np.ndarray,
                 label_map: str | None, masks: dict | None = None):
        if not 0.0 <= threshold <= 1.0:
            raise InputError(f'--ignore_below={threshold:g}: a probability, 0 .. 1')
        self._output, self.threshold, self._palette, self._classes = output, threshold, palette, tuple(classes)
        lookup = np.array(masks['values']) if masks else mask_lookup(label_map)
        labels = (*range(len(classes)), IGNORE)
        self._raw = np.array([_value_of(lookup, label, label_map) for label in labels], np.uint8)
        self._colors = np.zeros((256, 3), np.uint8)
        self._colors[self._raw] = np.concatenate([_colors_of(self._raw[:-1], palette, masks), [VOID]])
        self._alpha = np.full(256, 255, np.uint8)
        self._alpha[self._raw[-1]] = 0

    def refuse_existing(self, names: Sequence[str]) -> None:
        """Raises InputError where a mask is there already: it may hold corrections."""
        found = [name for name in names if (self._output / f'{name}.png').exists()]
        if found:
            raise InputError(f'{self._output / found[0]}.png is there already ({len(found)} of {len(names)} masks), '
                             'and pseudo-labels replace no file\nname another folder as --output')

    def write(self, name: str, image: np.ndarray, ids: np.ndarray, confidence: np.ndarray) -> Entry:
        """Writes ID.png, ID_confidence.png (8 bits, 255 = certain) and ID_overlay.jpg.

        Args:
          name: the ID; folders in it are made.
          image: uint8 [H, W, channels]. ids: uint8 [H, W]. confidence: float32 [H, W].
        """
        kept = confidence >= self.threshold
        (self._output / name).parent.mkdir(parents=True, exist_ok=True)
        mask = Image.fromarray(self._raw[np.where(kept, ids, len(self._raw) - 1)])
        mask.putpalette(self._colors.tobytes())
        mask.save(self._output / f'{name}.png', transparency=self._alpha.tobytes())
        levels = np.round(np.clip(confidence, 0.0, 1.0) * 255.0).astype(np.uint8)
        Image.fromarray(levels).save(self._output / f'{name}_confidence.png')
        write_overlay(self._output / f'{name}_overlay.jpg', image, ids, self._palette, kept)
        return Entry(name, float(np.mean(confidence, dtype=np.float64)), float(np.mean(kept)))

    def finish(self, entries: Sequence[Entry]) -> str:
        """Writes the list of images, least certain first: the order in which to correct them. Returns a summary."""
        with open(self._output / LIST, 'w', newline='', encoding='utf-8', errors='surrogateescape') as file:
            writer = csv.writer(file)
            writer.writerow(['id', 'mean_confidence', 'share_kept'])
            for entry in sorted(entries, key=lambda e: (e.confidence, e.id)):
                writer.writerow([entry.id, f'{entry.confidence:.4f}', f'{entry.kept:.4f}'])
        order = sorted(entries, key=lambda e: (e.confidence, e.id))
        page = write_page(self._output, order, self.threshold, self._classes, np.asarray(self._palette))
        share = np.mean([entry.kept for entry in entries]) if entries else 0.0
        return (f'{share:.1%} of the pixels keep a class (probability {self.threshold:g} and above), the rest is '
                f'ignored; {self._output / LIST} lists the images, least certain first, {page} shows them')


def _colors_of(raw: np.ndarray, palette: np.ndarray, masks: dict | None) -> np.ndarray:
    """Colours uint8 [C, 3] of the values that stand for the classes: those by which the dataset's masks are read."""
    colors = palette.copy()
    if masks and masks['read_as'] == 'colors':  # a value is the id whose colour it has
        inside = raw < len(palette)
        colors[inside] = palette[raw[inside]]
    elif masks:
        own = {int(index): tuple(color) for index, color in masks['palette'].items()}
        free = (color for color in map(tuple, voc_palette().tolist()) if color not in own.values())
        for label, value in enumerate(raw.tolist()):
            if value in own or tuple(colors[label].tolist()) in own.values():
                colors[label] = own[value] if value in own else next(free)
    return colors


def _value_of(lookup: np.ndarray, label: int, label_map: str | None) -> int:
    """The mask value that stands for a label: itself, else 128 for ignore, else the lowest."""
    values = np.flatnonzero(lookup == label)
    if not len(values):
        what = 'ignore' if label == IGNORE else f'class {label}'
        raise InputError(f'--config.data.label_map={label_map}: no value of a mask stands for {what}, so no '
                         'pseudo-label could say it')
    return label if label in values else 128 if label == IGNORE and 128 in values else int(values[0])
