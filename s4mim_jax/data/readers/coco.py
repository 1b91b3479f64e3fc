"""Reader `coco`: COCO 2017 with masks of 81 classes, as the semi-supervised repositories use it.

    train2017/ID.jpg    val2017/ID.jpg    (or both below images/)
    masks/ID.png, or masks/{train2017,val2017}/ID.png: 0 background, 1..80 things, 255 void

The 80 things stand in the order of their category ids, without the gaps of those. `val2017` serves as
'val' and as 'test': COCO has no public masks for its test images.
"""

from pathlib import Path

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.classes import voc_palette
from s4mim_jax.data.files.images import IMAGE_SUFFIXES
from s4mim_jax.data.files.left_out import Tally
from s4mim_jax.data.files.listing import list_files
from s4mim_jax.data.source import Sample, Source, make_source

CLASSES = ('background', *"""
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors,
teddy bear, hair drier, toothbrush""".replace('\n', ' ').strip().split(', '))
MASK_FOLDERS = ('masks', 'train2017', 'val2017')


def open_coco(folder: Path, data) -> Source:
    """Opens COCO.

    Raises:
      InputError: no training images.
    """
    splits, left, masks, unused = {}, [], {}, {}
    for split, name in (('train', 'train2017'), ('val', 'val2017')):
        below = folder / 'images' / name if (folder / 'images' / name).is_dir() else folder / name
        of_images = Tally(below)
        pictures = list_files(below, IMAGE_SUFFIXES, of_images)
        inner = folder / 'masks' / name
        where = inner if inner.is_dir() else folder / 'masks'
        if where not in unused:
            unused[where] = Tally(where)
            masks[where] = list_files(where, ('.png',), unused[where], once=False)
        left += of_images.result()
        if pictures:
            splits[split] = tuple(Sample(i, path, masks[where].get(i)) for i, path in sorted(pictures.items()))
        elif split == 'train':
            raise InputError(f'{below}: no training images\n'
                             f'valid: 000000000009.jpg, ... (the data folder is --config.data.dir)')
    if 'val' in splits:
        splits['test'] = splits['val']
    taken = {sample.mask for samples in splits.values() for sample in samples}
    for where, tally in unused.items():
        if spare := [name for name, path in masks[where].items() if path not in taken]:
            tally.add('masks without an image of that name', min(spare), len(spare))
        left += tally.result()
    return make_source(folder, data, CLASSES, voc_palette(len(CLASSES)), splits, left_out=tuple(left),
                       mask_folders=MASK_FOLDERS)
