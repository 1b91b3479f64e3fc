"""Reader `folder`: a user's own images.

    images/{train,val,test}/ID.(jpg|png|tif|bmp)    masks/{train,val,test}/ID.png
    classes.txt (optional)                          splits/NAME_labeled.txt, NAME_unlabeled.txt

Images may lie in folders below the split (the id is then `folder/name`) and need no mask. A folder without masks/ may
hold the export of an annotation tool instead, see `label_formats`.
"""

import os
from pathlib import Path

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.check import mask_values
from s4mim_jax.data.classes import read_classes, read_colors, voc_palette
from s4mim_jax.data.files.images import IMAGE_SUFFIXES, MASK_SUFFIXES
from s4mim_jax.data.label_formats import open_export
from s4mim_jax.data.source import Sample, Source, cache_dir, mask_lookup, require_targets

SPLITS = ('train', 'val', 'test')


def open_folder(folder: Path, data) -> Source:
    """Opens a folder of the format above.

    Raises:
      InputError: no training images, two images of one id, a bad classes.txt, or no classes.txt
        and masks whose values are not 0, 1, 2, ... .
    """
    if not (folder / 'masks').is_dir():
        source = open_export(folder, data)
        if source is not None:
            return source
    splits = read_splits(folder, 'images/{}', 'masks/{}')
    lookup = mask_lookup(data.label_map)
    if (folder / 'classes.txt').is_file():
        classes, palette = read_classes(folder / 'classes.txt')
        require_targets(data.label_map, lookup, len(classes))
    else:
        count = _count_classes(folder, splits, lookup, data)
        classes, palette = tuple(f'class_{i}' for i in range(count)), voc_palette(count)
    return Source(name=data.name, classes=classes, palette=palette, splits=splits, lookup=lookup,
                  dir=str(folder), roots=(str(folder),), cache_dir=cache_dir(folder, data),
                  colors=read_colors(folder / 'classes.txt', data.mask_colors))


def read_splits(folder: Path, images: str, masks: str) -> dict[str, tuple[Sample, ...]]:
    """Samples of the splits whose image folder holds images, in order of id.

    Args:
      folder: the dataset.
      images, masks: folders below it, '{}' for the split's name.

    Raises:
      InputError: no training images, or two images of one id.
    """
    splits = {}
    for split in SPLITS:
        labels = list_files(folder / masks.format(split), MASK_SUFFIXES)
        pictures = list_files(folder / images.format(split), IMAGE_SUFFIXES)
        if pictures:
            splits[split] = tuple(Sample(i, pictures[i], labels.get(i)) for i in sorted(pictures))
    if 'train' not in splits:
        raise InputError(f'{folder / images.format("train")}: no training images\n'
                         f'valid: files ending in {", ".join(IMAGE_SUFFIXES)} '
                         f'(the data folder is --config.data.dir)')
    return splits


def list_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, str]:
    """Files below a folder: id (path below it, no suffix) -> path. Hidden ones are left out.

    Raises:
      InputError: two files of one id.
    """
    found = {}
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith('.')]
        below = os.path.relpath(parent, folder)
        for name in names:
            stem, suffix = os.path.splitext(name)
            if name.startswith('.') or suffix.lower() not in suffixes:
                continue
            identity = stem if below == '.' else f'{below}/{stem}'.replace(os.sep, '/')
            path = os.path.join(parent, name)
            if identity in found:
                raise InputError(f'two files have the id {identity!r}: {found[identity]} and {path}\n'
                                 f'valid: one file an id, whatever its suffix')
            found[identity] = path
    return found


def _count_classes(folder, splits, lookup, data) -> int:
    """Number of classes of a dataset without classes.txt, from label_map or from the masks."""
    if data.label_map is not None:
        targets = {int(v) for v in lookup} - {IGNORE}
        where = f'--config.data.label_map={data.label_map} maps to'
    else:
        samples = [s for split in splits.values() for s in split]
        targets = mask_values(samples, str(folder), cache_dir(folder, data)) - {IGNORE}
        where = f'the masks in {folder / "masks"} hold the values'
    if not targets:
        raise InputError(f'{folder}: no classes.txt, and no mask that would tell the classes\n'
                         f'write classes.txt, one `id name` a line, or add masks/train/ID.png')
    if targets != set(range(len(targets))):
        some = ', '.join(map(str, sorted(targets)[:8])) + (', ...' if len(targets) > 8 else '')
        raise InputError(f'{folder} has no classes.txt and {where} {some}, which is not 0, 1, 2, ...\n'
                         f'write classes.txt, one `id name` a line, or map the values with '
                         f'--config.data.label_map, e.g. 0:0,{max(targets)}:1')
    return len(targets)
