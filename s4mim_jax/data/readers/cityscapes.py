"""Reader `cityscapes`: 19 classes of street scenes, 1024x2048.

    leftImg8bit/{train,val,test}/CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png
    gtFine/{train,val}/CITY/..._gtFine_labelIds.png (34 ids, mapped here) or ..._gtFine_labelTrainIds.png

The split `val` serves as 'val' and as 'test': the masks of the test images are not public, those in the
download are empty. A sample's id is CITY_SEQUENCE_FRAME.
"""

from pathlib import Path

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.files.left_out import Tally
from s4mim_jax.data.files.listing import list_files
from s4mim_jax.data.source import Sample, Source, make_source

# Class -> (id in labelIds, colour), in the order of the train ids: labels.py of the dataset's scripts.
LABELS = {
    'road': (7, (128, 64, 128)), 'sidewalk': (8, (244, 35, 232)), 'building': (11, (70, 70, 70)),
    'wall': (12, (102, 102, 156)), 'fence': (13, (190, 153, 153)), 'pole': (17, (153, 153, 153)),
    'traffic light': (19, (250, 170, 30)), 'traffic sign': (20, (220, 220, 0)),
    'vegetation': (21, (107, 142, 35)), 'terrain': (22, (152, 251, 152)), 'sky': (23, (70, 130, 180)),
    'person': (24, (220, 20, 60)), 'rider': (25, (255, 0, 0)), 'car': (26, (0, 0, 142)),
    'truck': (27, (0, 0, 70)), 'bus': (28, (0, 60, 100)), 'train': (31, (0, 80, 100)),
    'motorcycle': (32, (0, 0, 230)), 'bicycle': (33, (119, 11, 32)),
}
CLASSES = tuple(LABELS)
PALETTE = np.array([color for _, color in LABELS.values()], np.uint8)
# Ids 0..33 that are no class, and -1 (a licence plate, stored as 255), are void.
FROM_LABEL_IDS = dict.fromkeys(range(34), IGNORE) | {i: c for c, (i, _) in enumerate(LABELS.values())}

PICTURE_END = '_leftImg8bit'
MASK_ENDS = ('_gtFine_labelTrainIds', '_gtFine_labelIds')


def open_cityscapes(folder: Path, data) -> Source:
    """Opens Cityscapes. Ready train ids are taken if every image with a mask has them.

    Raises:
      InputError: no training images, or masks of which some are in the one form only and some in the other.
    """
    pictures, masks, left = {}, {end: {} for end in MASK_ENDS}, []
    for split in ('train', 'val'):
        tally = Tally(folder / 'leftImg8bit' / split)
        pictures[split] = _by_frame(list_files(tally.where, ('.png',), tally), PICTURE_END, tally)
        left += tally.result()
        files = list_files(folder / 'gtFine' / split, ('.png',), once=False)
        for end in MASK_ENDS:
            masks[end] |= _by_frame(files, end)
    if not pictures['train']:
        raise InputError(f'{folder / "leftImg8bit" / "train"}: no training images\n'
                         f'valid: CITY/CITY_000000_000000{PICTURE_END}.png (the data folder is --config.data.dir)')
    frames = pictures['train'].keys() | pictures['val'].keys()
    ready, official = (masks[end].keys() & frames for end in MASK_ENDS)
    if not (ready >= official or official >= ready):
        only = sorted(ready - official)
        raise InputError(f'{folder / "gtFine"}: {len(official - ready)} images have labelIds alone, {len(only)} have '
                         f'labelTrainIds alone, e.g. {only[0]}\nvalid: one of the two for all labelled images')
    end = MASK_ENDS[0] if ready and ready >= official else MASK_ENDS[1]
    splits = {split: tuple(Sample(frame, path, masks[end].get(frame)) for frame, path in sorted(found.items()))
              for split, found in pictures.items() if found}
    if 'val' in splits:
        splits['test'] = splits['val']
    train = {sample.id: sample for sample in splits['train']}
    return make_source(folder, data, CLASSES, PALETTE, splits, raw=FROM_LABEL_IDS if end == MASK_ENDS[1] else None,
                       find=lambda name: train.get(name.removesuffix(PICTURE_END)), mask_end=f'{end}.png',
                       left_out=tuple(left))


def _by_frame(files: dict[str, str], end: str, tally: Tally | None = None) -> dict[str, str]:
    """CITY_SEQUENCE_FRAME -> path of the files whose names end so; the others are counted in `tally`."""
    found = {name.rsplit('/', 1)[-1].removesuffix(end): path for name, path in files.items() if name.endswith(end)}
    if tally and (others := [name for name in files if not name.endswith(end)]):
        tally.add(f'files that do not end in {end}.png', min(others), len(others))
    return found
