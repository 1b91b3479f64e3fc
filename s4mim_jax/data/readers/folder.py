"""Reader `folder`: a user's own images.

    images/{train,val,test}/ID.(jpg|png|tif|bmp)    masks/{train,val,test}/ID.png
    classes.txt (optional)                          splits/NAME_labeled.txt, NAME_unlabeled.txt

Without any of the three folders all of images/ is 'train'. Images may lie in folders below the split (the id is then
`folder/name`) and need no mask. A folder without masks/ may hold the export of an annotation tool instead, see
`label_formats`.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.check.sample_checks import mask_values, refuse_only_ignore
from s4mim_jax.data.classes import read_classes, read_colors, voc_palette
from s4mim_jax.data.files.images import IMAGE_SUFFIXES, MASK_SUFFIXES
from s4mim_jax.data.files.left_out import LeftOut, Tally
from s4mim_jax.data.files.listing import HIDDEN, is_hidden, list_files
from s4mim_jax.data.files.mask_info import MaskInfo
from s4mim_jax.data.label_formats import open_export
from s4mim_jax.data.label_map import mask_lookup, require_targets
from s4mim_jax.data.mask_meaning import MaskMeaning
from s4mim_jax.data.readers.mask_names import match_masks, reduced, unmatched
from s4mim_jax.data.source import Sample, Source, cache_dir

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
    splitless = not any((folder / 'images' / split).is_dir() for split in SPLITS)
    if splitless and list_files(folder / 'images', IMAGE_SUFFIXES):
        _refuse_other_splits(folder / 'images')
        splits, left = read_splits(folder, 'images', 'masks', SPLITS[:1])
    else:
        splits, left = read_splits(folder, 'images/{}', 'masks/{}')
    lookup = mask_lookup(data.label_map)
    if (folder / 'classes.txt').is_file():
        classes, palette = read_classes(folder / 'classes.txt')
        require_targets(data.label_map, lookup, len(classes))
    else:
        # Until the classes are counted, every number may be one, and no colour is theirs.
        classes, palette = tuple(f'class_{i}' for i in range(IGNORE)), voc_palette(0)
    source = Source(name=data.name, classes=classes, palette=palette, splits=splits, lookup=lookup,
                    dir=str(folder), roots=(str(folder),), cache_dir=cache_dir(folder, data),
                    colors=read_colors(folder / 'classes.txt', data.mask_colors), mask_colors=data.mask_colors,
                    label_map=data.label_map, left_out=left)
    if len(classes) == IGNORE and not (folder / 'classes.txt').is_file():
        count, notes = _count_classes(source)
        source = replace(source, classes=classes[:count], palette=voc_palette(count), notes=source.notes + notes,
                         masks=MaskMeaning())
    return source


def read_splits(folder: Path, images: str, masks: str, names: Sequence[str] = SPLITS,
                ) -> tuple[dict[str, tuple[Sample, ...]], tuple[LeftOut, ...]]:
    """Samples of the splits whose image folder holds images, in order of id, and what lies there and is not used.

    Masks are matched as `mask_names` says. Where a split has no masks in their own folder, they may lie beside the
    images, under a name that ends in `_mask` and the like.

    Args:
      folder: the dataset.
      images, masks: folders below it, '{}' for the split's name. names: splits to look for.

    Raises:
      InputError: no training images, two images of one id, or masks that fit several images.
    """
    splits, left = {}, list(_beside_splits(folder, images)) + list(_beside_splits(folder, masks))
    for split in names:
        of_images, of_masks = Tally(folder / images.format(split)), Tally(folder / masks.format(split))
        labels = list_files(of_masks.where, MASK_SUFFIXES, of_masks, once=False)
        pictures = list_files(of_images.where, IMAGE_SUFFIXES, of_images)
        if not labels:
            labels = _beside_images(pictures)
            pictures = {identity: path for identity, path in pictures.items() if identity not in labels}
            if labels:
                of_images.add('files taken as masks of the images beside them', min(labels), len(labels))
        found = match_masks(pictures, labels, of_masks)
        left += [*of_images.result(), *unmatched(pictures, labels, found, of_images.where), *of_masks.result()]
        if pictures:
            splits[split] = tuple(Sample(i, pictures[i], found.get(i)) for i in sorted(pictures))
    if 'train' not in splits:
        there = sorted(entry.name for entry in os.scandir((folder / images.format('train')).parent)
                       ) if (folder / images.format('train')).parent.is_dir() else []
        near = f'; {(folder / images.format("train")).parent} holds {", ".join(there[:5])}' if there else ''
        raise InputError(f'{folder / images.format("train")}: no training images{near}\n'
                         f'valid: files ending in {", ".join(IMAGE_SUFFIXES)} '
                         f'(the data folder is --config.data.dir)')
    return splits, tuple(left)


def _refuse_other_splits(images: Path) -> None:
    """Folders that are called nearly like a split would be trained on with everything else."""
    near = [entry.name for entry in sorted(images.iterdir()) if entry.is_dir() and re.fullmatch(
        r'(?i)(train|training|val|valid|validation|test|testing|dev|eval|evaluation)(_?set|_?data|\d*)', entry.name)]
    if near:
        raise InputError(f'{images}: {near[0]} is none of the splits {", ".join(SPLITS)}, and would be trained on with '
                         f'everything else\nvalid: images/train, images/val, images/test, or folders of other names')


def _beside_images(pictures: dict[str, str]) -> dict[str, str]:
    """Those of the files that are called like another one with `_mask` and the like behind."""
    names = {identity.casefold() for identity in pictures}
    return {identity: path for identity, path in pictures.items()
            if reduced(identity) != identity.casefold() and reduced(identity) in names
            and os.path.splitext(path)[1].lower() in MASK_SUFFIXES}


def _beside_splits(folder: Path, pattern: str) -> tuple[LeftOut, ...]:
    """What lies beside the folders of the splits, where there is a folder for them alone."""
    parent, _, last = pattern.rpartition('/')
    if last != '{}' or not parent or not (folder / parent).is_dir():
        return ()
    tally = Tally(folder / parent)
    for entry in sorted(os.scandir(folder / parent), key=lambda entry: entry.name):
        if entry.name not in SPLITS:
            tally.add(HIDDEN if is_hidden(entry.name) else f'entries beside {", ".join(SPLITS)}', entry.name)
    return tally.result()


def _count_classes(source: Source) -> tuple[int, tuple[str, ...]]:
    """Number of classes of a dataset without classes.txt, from label_map or from the masks; and what seems odd."""
    folder, notes = Path(source.dir), ()
    if source.label_map is not None:
        targets = {int(v) for v in source.lookup} - {IGNORE}
        where = f'--config.data.label_map={source.label_map} maps to'
    else:
        samples = [s for split in source.splits.values() for s in split]
        targets = mask_values(source, samples) - {IGNORE}
        where = f'the masks in {folder / "masks"} hold the values'
        if targets == {0}:  # of 0 and 255 alone there is more to say than that one class is none
            refuse_only_ignore(source, [s for s in samples if s.mask], source.masks.info)
        notes = instance_note(source.masks.info.values())
    if not targets:
        raise InputError(f'{folder}: no classes.txt, and no mask that would tell the classes\n'
                         f'write classes.txt, one `id name` a line, or add masks/train/ID.png')
    if targets != set(range(len(targets))):
        some = ', '.join(map(str, sorted(targets)[:8])) + (', ...' if len(targets) > 8 else '')
        raise InputError(f'{folder} has no classes.txt and {where} {some}, which is not 0, 1, 2, ...\n'
                         f'write classes.txt, one `id name` a line, or map the values with '
                         f'--config.data.label_map, e.g. 0:0,{max(targets)}:1')
    return len(targets), notes


def instance_note(masks: Iterable[MaskInfo]) -> tuple[str, ...]:
    """A warning where the numbers seem to count objects: each mask holds 0, 1, .., k without a gap, to its own k."""
    counts = [values for mask in masks if (values := [v for v in mask.values if v != IGNORE])]
    tops = {values[-1] for values in counts}
    if len(counts) < 3 or len(tops) < 3 or max(tops) < 4 or any(v != list(range(v[-1] + 1)) for v in counts):
        return ()
    return (f'WARNING: every mask holds the numbers 0, 1, 2, ... up to a number of its own (at most {max(tops)}), as '
            f'masks of instances do; each number is a class here. If they count objects of one class: '
            f'--config.data.label_map=0:0,1-{max(tops)}:1. If they are classes, name them in classes.txt',)
