"""Small datasets that tests write into a temporary folder."""

from pathlib import Path

import numpy as np
from PIL import Image

from s4mim_jax.config import base
from s4mim_jax.data.classes import voc_palette


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


def write_voc(root, ids=('2007_1', '2007_2', '2008_3'), val=('2009_9',)):
    """PASCAL VOC's folders, palette masks of background, person and border. Returns root."""
    for identity in (*ids, *val):
        write_image(root / f'JPEGImages/{identity}.jpg')
        write_mask(root / f'SegmentationClass/{identity}.png', [0, 15, 255], palette=voc_palette())
    lists = root / 'ImageSets/Segmentation'
    lists.mkdir(parents=True)
    (lists / 'train.txt').write_text('\n'.join(ids))  # no end of the last line
    (lists / 'val.txt').write_text('\n'.join(val) + '\n')
    return root


def write_cityscapes(root, values=(0, 7, 33, 1), ends=('labelIds',)):
    """Two cities of two frames each to train on, one frame in val and test. Returns the frames of train."""
    frames = {'train': [('aachen', 0), ('aachen', 1), ('ulm', 0), ('ulm', 1)], 'val': [('lindau', 0)],
              'test': [('bonn', 0)]}
    for split, members in frames.items():
        for city, number in members:
            frame = f'{split}/{city}/{city}_00000{number}_000019'
            write_image(root / f'leftImg8bit/{frame}_leftImg8bit.png', seed=number)
            for end in (*ends, 'color', 'instanceIds'):
                content = values if split != 'test' else [0]
                write_mask(root / f'gtFine/{frame}_gtFine_{end}.png', content if end in ends else [77])
    return [f'{city}_00000{number}_000019' for city, number in frames['train']]


def write_ade20k(root, values=(0, 1, 150), train=4):
    """ADEChallengeData2016 below root. Returns the folder."""
    folder = Path(root) / 'ADEChallengeData2016'
    for split, short, count in (('training', 'train', train), ('validation', 'val', 1)):
        for i in range(1, count + 1):
            write_image(folder / f'images/{split}/ADE_{short}_{i:08d}.jpg', seed=i)
            write_mask(folder / f'annotations/{split}/ADE_{short}_{i:08d}.png', values)
    return folder


def write_coco(root, values=(0, 1, 80, 255), nested=False, below=''):
    """Three training images and one of val; masks in one folder or in one a split."""
    for name, ids in (('train2017', (9, 25, 30)), ('val2017', (139,))):
        for i in ids:
            write_image(Path(root) / below / f'{name}/{i:012d}.jpg', seed=i)
            write_mask(Path(root) / 'masks' / (name if nested else '') / f'{i:012d}.png', values)
    return root
