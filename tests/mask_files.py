"""Masks as programs write them: depths, palettes, tags and containers that Pillow alone does not write."""

import io
import struct

import numpy as np
import tifffile
from PIL import Image

RED, GREEN, WHITE = (220, 30, 30), (30, 200, 40), (255, 255, 255)
TABLE = np.zeros((256, 3), np.uint8)
TABLE[1], TABLE[2], TABLE[255] = RED, GREEN, (96, 96, 96)


def encoded(image, kind='PNG', **options):
    """Bytes of an array or image."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tiff(values, **options):
    """Bytes of a TIFF."""
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def tiff_of_few_bits(ids, bits, *, white_is_zero=False):
    """An uncompressed gray TIFF of 1, 2 or 4 bits a pixel; the width must fill bytes."""
    each = 8 // bits
    data = bytes(sum(int(v) << (8 - bits * (i + 1)) for i, v in enumerate(row[k:k + each]))
                 for row in ids for k in range(0, len(row), each))
    height, width = ids.shape
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, int(not white_is_zero)), (273, 8), (277, 1),
            (278, height), (279, len(data))]
    data += bytes(len(data) % 2)
    raw = b'II*\0' + struct.pack('<I', 8 + len(data)) + data + struct.pack('<H', len(tags))
    return raw + b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags) + bytes(4)


def palette_mask(ids, order, colors=TABLE, kind='PNG', **options):
    """A palette image whose index i has the colour of class order[i], as optimisers write it."""
    place = np.zeros(256, np.uint8)
    place[list(order)] = range(len(order))
    mask = Image.fromarray(place[ids])
    mask.putpalette(np.asarray(colors)[list(order)].tobytes())
    return encoded(mask, kind, **options)


def squares(seed, classes=(1, 2)):
    """Ids [12, 16]: background and a square of 4 x 4 of each class, at other places for every seed."""
    ids, rng = np.zeros((12, 16), np.uint8), np.random.default_rng(seed)
    for number, c in enumerate(classes):
        y, x = rng.integers(0, 8), 8 * number + rng.integers(0, 4)
        ids[y:y + 4, x:x + 4] = c
    return ids


def write_dataset(root, masks, classes='0 background 0 0 0\n1 red 220 30 30\n2 green 30 200 40\n', suffixes=None):
    """The `folder` format: images and the given masks (bytes, or ids for plain PNG) of train; val has the last."""
    for number, mask in enumerate(masks):
        for split in ('train', 'val') if number == len(masks) - 1 else ('train',):
            data = encoded(mask) if isinstance(mask, np.ndarray) else mask
            size = Image.open(io.BytesIO(data)).size if data[:2] not in (b'II', b'MM') else (16, 12)
            for kind in ('images', 'masks'):
                (root / kind / split).mkdir(parents=True, exist_ok=True)
            seed = number + 50 * (split == 'val')
            pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
            (root / f'images/{split}/{split[0]}{number}.png').write_bytes(encoded(pixels))
            suffix = (suffixes or {}).get(number, 'tif' if data[:2] in (b'II', b'MM') else 'png')
            (root / f'masks/{split}/{split[0]}{number}.{suffix}').write_bytes(data)
    if classes:
        (root / 'classes.txt').write_text(classes)
    return root
