"""An export as a folder of images and masks, the format that every part of the project reads."""

import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.config.new_folder import new_folder
from s4mim_jax.data.label_formats.label_set import LabelSet, Region
from s4mim_jax.data.label_formats.opening import mask_of, palette_of
from s4mim_jax.data.label_formats.regions import Rings

VOID = (224, 224, 192)  # colour of ignored pixels, VOC's
EMPTY = ('unlabelled', 'background')


def with_empty(labels: LabelSet, empty: str) -> LabelSet:
    """The export, where pictures that it lists and on which nothing is drawn are unlabelled, or background as a whole.

    Raises:
      InputError: 'background', and the classes have none.
    """
    if empty == 'unlabelled':
        return labels
    if labels.unpainted == IGNORE:
        raise InputError(f'--empty={empty}: no class is called background\nvalid: a list of classes with one, or '
                         '--empty=unlabelled')
    name = labels.classes[labels.unpainted]
    return replace(labels, pictures=tuple(
        p if p.labelled or not p.where else replace(p, regions=(Region(name, Rings(()), p.where),))
        for p in labels.pictures))


def write_folder(labels: LabelSet, output: Path, progress: Callable[[], None] = lambda: None) -> Counter:
    """Writes images/SPLIT/ID.*, masks/SPLIT/ID.png and classes.txt.

    All is made in a folder beside `output` and renamed at the end: an error leaves nothing behind.

    Args:
      labels: the export. output: a folder that does not exist, or is empty. progress: called after each image.

    Returns:
      pixels of every class id and 255.

    Raises:
      InputError: `output` holds something, cannot be written, or a label cannot be painted.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f'--output={output}: is there already and not empty\nvalid: a new folder')
    names = [re.sub(r'[\s#]+', '_', name.strip()) for name in labels.classes]
    twice = [name for name, count in Counter(names).items() if count > 1 or not name]
    if twice:
        raise InputError(f'two classes would be called {twice[0]!r} in classes.txt\n'
                         'valid: names that differ in more than blanks')
    palette = np.concatenate([palette_of(labels), np.zeros((256 - len(names), 3), np.uint8)])
    palette[IGNORE] = VOID
    pixels = Counter()
    with new_folder(output) as draft:
        for picture in labels.pictures:
            image = draft / 'images' / picture.split / (picture.id + Path(picture.image).suffix)
            image.parent.mkdir(parents=True, exist_ok=True)
            if picture.labelled:
                ids = mask_of(picture, labels)
                values, counts = np.unique(ids, return_counts=True)
                pixels.update(dict(zip(values.tolist(), counts.tolist())))
                path = draft / 'masks' / picture.split / f'{picture.id}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                mask = Image.fromarray(ids)
                mask.putpalette(palette.tobytes())
                mask.save(path)
            shutil.copyfile(picture.image, image)
            progress()
        lines = [f'{i} {name} {" ".join(map(str, palette[i].tolist()))}' for i, name in enumerate(names)]
        (draft / 'classes.txt').write_text('\n'.join([*lines, f'{IGNORE} void']) + '\n', encoding='utf-8')
    return pixels
