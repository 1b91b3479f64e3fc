"""Small datasets that tests write into a temporary folder."""

from pathlib import Path

import numpy as np
from PIL import Image

from s4mim_jax.config import base


def data_config(name, folder, **settings):
    """`config.data` for a dataset in `folder`."""
    config = base()
    config.data.name, config.data.dir = name, str(folder)
    config.data.update(settings)
    return config.data


def write_image(path, size=(12, 16), seed=0, **options):
    """An RGB photograph stand-in of (height, width); the suffix chooses the format."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def write_mask(path, values, size=(12, 16), palette=None):
    """A one-channel mask of (height, width) in which all of `values` occur."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.resize(np.array(values, np.uint8), size)
    image = Image.fromarray(mask)
    if palette is not None:
        image = Image.fromarray(mask).convert('P')
        image.putdata(mask.ravel().tolist())
        image.putpalette(np.asarray(palette, np.uint8).tobytes())
    image.save(path)
    return mask


def write_folder(root, train=6, val=2, test=1, values=(0, 1, 2, 255), classes=3):
    """The `folder` format with masks everywhere; ids a0, a1, ... Returns root."""
    root = Path(root)
    for split, count in (('train', train), ('val', val), ('test', test)):
        for i in range(count):
            write_image(root / 'images' / split / f'{split[0]}{i}.jpg', seed=i)
            write_mask(root / 'masks' / split / f'{split[0]}{i}.png', values)
    if classes:
        lines = [f'{i} kind{i}' for i in range(classes)]
        (root / 'classes.txt').write_text('\n'.join([*lines, '255 void']))
    return root


def write_lists(root, name, labeled, unlabeled):
    """splits/NAME_labeled.txt and NAME_unlabeled.txt, no end of the last line."""
    folder = Path(root) / 'splits'
    folder.mkdir(exist_ok=True)
    (folder / f'{name}_labeled.txt').write_text('\n'.join(labeled))
    (folder / f'{name}_unlabeled.txt').write_text('\n'.join(unlabeled))
