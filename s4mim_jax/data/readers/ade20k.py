"""Reader `ade20k`: the 150 classes of the MIT Scene Parsing Benchmark.

    images/{training,validation}/ID.jpg    annotations/{training,validation}/ID.png
    objectInfo150.txt (optional, names)

`data.dir` is the folder that holds these, or the parent of ADEChallengeData2016. In the official masks
0 is void and value v is class v - 1. Masks that were shifted already (0..149 and 255, as UniMatch V2
offers them) are recognised by their 255, which official ones never hold, and those by 150; `data.label_map`
says it where no mask does. `validation` serves as 'val'
and as 'test': the masks of the test images are not public.
"""

from pathlib import Path

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.files.images import IMAGE_SUFFIXES
from s4mim_jax.data.files.left_out import Tally
from s4mim_jax.data.files.listing import list_files
from s4mim_jax.data.files.scan import scan_files
from s4mim_jax.data.files.text import read_lines
from s4mim_jax.data.readers.mask_names import match_masks, unmatched
from s4mim_jax.data.source import Sample, Source, cache_dir, make_source, read_file

NAMES_FILE = Path(__file__).with_name('ade20k_classes.txt')
_ROWS = [line.split(' ', 4) for line in NAMES_FILE.read_text(encoding='utf-8').splitlines() if line[0] != '#']
CLASSES = tuple(row[4] for row in _ROWS)
PALETTE = np.array([row[:3] for row in _ROWS], int).astype(np.uint8)
OBJECTS = tuple(c for c, row in enumerate(_ROWS) if row[3] == 'object')  # the others are stuff

# An official mask with 255 is none: 254 is outside the classes.
FROM_OFFICIAL = {0: IGNORE, IGNORE: IGNORE - 1} | {v: v - 1 for v in range(1, len(CLASSES) + 1)}
LOOKED_AT = 16  # masks at first, then four times as many, until one tells which kind they are

FOLDERS = {'train': 'training', 'val': 'validation'}


def open_ade20k(folder: Path, data) -> Source:
    """Opens ADE20K.

    Raises:
      InputError: no training images, or an objectInfo150.txt that does not name 150 classes.
    """
    root = next((r for r in (folder, folder / 'ADEChallengeData2016') if (r / 'images').is_dir()), folder)
    splits, left = {}, []
    for split, name in FOLDERS.items():
        of_images, of_masks = Tally(root / 'images' / name), Tally(root / 'annotations' / name)
        masks = list_files(of_masks.where, ('.png',), of_masks, once=False)
        pictures = list_files(of_images.where, IMAGE_SUFFIXES, of_images)
        found = match_masks(pictures, masks, of_masks)
        left += [*of_images.result(), *unmatched(pictures, masks, found, of_images.where), *of_masks.result()]
        if pictures:
            splits[split] = tuple(Sample(i, path, found.get(i)) for i, path in sorted(pictures.items()))
    if 'train' not in splits:
        raise InputError(f'{root / "images/training"}: no training images\n'
                         f'valid: ADE_train_00000001.jpg, ... (the data folder is --config.data.dir)')
    if 'val' in splits:
        splits['test'] = splits['val']
    names = root / 'objectInfo150.txt'
    return make_source(folder, data, read_names(names) if names.is_file() else CLASSES, PALETTE, splits,
                       raw=_mapping(splits, folder, data), roots=tuple(dict.fromkeys((root, folder))),
                       left_out=tuple(left))


def read_names(path: Path) -> tuple[str, ...]:
    """First synonyms of objectInfo150.txt, whose tab-separated lines end with `name, synonym, ...`.

    Raises:
      InputError: not the names of 150 classes in the order of their ids.
    """
    rows = [line.split('\t') for line in read_lines(path) if line.strip()]
    names = {row[0].strip(): row[-1].split(',')[0].strip() for row in rows[1:]}
    if list(names) != [str(i + 1) for i in range(len(CLASSES))] or len(set(names.values())) != len(CLASSES):
        raise InputError(f'{path}: {len(names)} lines, not the different names of ids 1..{len(CLASSES)} in order\n'
                         f'valid: the file of ADEChallengeData2016, or none')
    return tuple(names.values())


def _mapping(splits: dict[str, tuple[Sample, ...]], folder: Path, data) -> dict[int, int] | None:
    """Raw value -> class of the kind that the masks are: FROM_OFFICIAL, or None where they were shifted already.

    The masks are looked at, from all over the dataset, until one holds a value that only one kind has: 255 those that
    were shifted, 150 official ones. What is found is remembered as by the checks; they refuse a mask of the other kind.

    Raises:
      InputError: no mask of the whole dataset tells.
    """
    if data.label_map is not None:  # asked for
        return FROM_OFFICIAL
    masks = list(dict.fromkeys(s.mask for split in splits.values() for s in split if s.mask))
    stride = max(len(masks) // LOOKED_AT, 1)
    left, count = [mask for first in range(stride) for mask in masks[first::stride]], LOOKED_AT
    while left:
        part, left, count = left[:count], left[count:], 4 * count
        info, _ = scan_files([('mask', mask) for mask in part], read_file, base=str(folder),
                        cache_dir=cache_dir(folder, data))
        seen = {value for mask in info.values() for value in mask.values}  # files that cannot be read are the check's
        if seen & {IGNORE, len(CLASSES)}:
            return None if IGNORE in seen else FROM_OFFICIAL
    if not masks:
        return FROM_OFFICIAL
    raise InputError(f'{folder}: no mask of {len(masks)} holds 255 (void of masks that were shifted) or 150 (the last '
                     'class of official ones), so it is open whether 0 is void or the first class\nset '
                     '--config.data.label_map=1-150:0-149 (official masks) or 0-149:0-149 (shifted ones)')
