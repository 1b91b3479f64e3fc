"""Reader `camvid`: 11 classes of driving scenes, in either of the layouts they come in.

    images/ masks/ (reader `folder`), 255 = void
    train/ trainannot/ val/ valannot/ test/ testannot/ (the original distribution), 11 = void
"""

from pathlib import Path

import numpy as np

from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.classes import read_classes, read_colors
from s4mim_jax.data.label_map import mask_lookup, require_targets
from s4mim_jax.data.readers.folder import read_splits
from s4mim_jax.data.source import Source, cache_dir

CLASSES = {
    'sky': (128, 128, 128), 'building': (128, 0, 0), 'pole': (192, 192, 128), 'road': (128, 64, 128),
    'pavement': (60, 40, 222), 'tree': (128, 128, 0), 'sign_symbol': (192, 128, 128),
    'fence': (64, 64, 128), 'car': (64, 0, 128), 'pedestrian': (64, 64, 0), 'bicyclist': (0, 128, 192),
}


def open_camvid(folder: Path, data) -> Source:
    """Opens CamVid; the original layout is recognised by its folder `trainannot`.

    Raises:
      InputError: no training images, or a bad classes.txt.
    """
    original = (folder / 'trainannot').is_dir()
    splits, left = read_splits(folder, *(('{}', '{}annot') if original else ('images/{}', 'masks/{}')))
    classes, palette = tuple(CLASSES), np.array(list(CLASSES.values()), np.uint8)
    if (folder / 'classes.txt').is_file():
        names, colors = read_classes(folder / 'classes.txt')
        if names != classes:  # the user's own names keep the user's own colours
            classes, palette = names, colors
    lookup = mask_lookup(data.label_map, {11: IGNORE} if original else None)
    require_targets(data.label_map, lookup, len(classes))
    return Source(name=data.name, classes=classes, palette=palette, splits=splits, lookup=lookup,
                  dir=str(folder), roots=(str(folder),), cache_dir=cache_dir(folder, data),
                  colors=read_colors(folder / 'classes.txt', data.mask_colors), left_out=left)
