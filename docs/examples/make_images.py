"""Makes the small datasets of docs/own_images.md: seeds on soil, drawn with NumPy.

    python docs/examples/make_images.py my_images

writes four folders of the same 24 + 6 + 6 scenes: `binary` (JPEG, masks of 0 and 255), `colors` (JPEG, masks of
colours), `gray` (16-bit grayscale TIFF) and `bands` (TIFF of four bands of 12 bits); the first eight of the
training images have masks. Beside them lies `field.png`, a larger image.
"""

import sys
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageFilter

SIZE, LABELED = (96, 128), 8
COUNTS = {'train': 24, 'val': 6, 'test': 6}
COLORS = np.array([[60, 40, 20], [240, 220, 60], [60, 160, 220]], np.uint8)  # soil, seed, stone
RESPONSE = np.array([[.30, .22, .16, .35], [.62, .52, .20, .85], [.48, .50, .55, .40]])  # red, green, blue, infrared


def scene(seed):
    """Class ids uint8 [H, W] and reflectances float [H, W, 4] in 0..1."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE[0], :SIZE[1]]
    ids = np.zeros(SIZE, np.uint8)
    for _ in range(rng.integers(6, 12)):
        kind, angle = (1, 2)[rng.random() < 0.3], rng.uniform(0, np.pi)
        cy, cx = rng.uniform(0, SIZE[0]), rng.uniform(0, SIZE[1])
        long, short = (rng.uniform(9, 14), rng.uniform(4, 6)) if kind == 1 else (rng.uniform(5, 10),) * 2
        u = (y - cy) * np.sin(angle) + (x - cx) * np.cos(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        ids[(u / long) ** 2 + (v / short) ** 2 < 1] = kind
    grain = Image.fromarray((rng.random(SIZE) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.5))
    texture = (np.asarray(grain, float) / 255 - 0.5)[..., None] * 0.9
    light = 1 + 0.25 * np.sin(x / 60 + rng.uniform(0, 6))[..., None]
    return ids, np.clip(RESPONSE[ids] * light + texture * RESPONSE[ids] + rng.normal(0, 0.01, (*SIZE, 4)), 0, 1)


def main(root):
    for number, split in enumerate(COUNTS):
        for index in range(COUNTS[split]):
            ids, values = scene([number, index])
            name = f'{split}_{index:02d}'
            photo = (values[..., :3] * 255).astype(np.uint8)
            deep = (values * 4095).astype(np.uint16)
            masks = {'binary': np.where(ids == 1, 255, 0).astype(np.uint8), 'colors': COLORS[ids], 'gray': ids,
                     'bands': ids}
            for folder, mask in masks.items():
                images, labels = root / folder / 'images' / split, root / folder / 'masks' / split
                images.mkdir(parents=True, exist_ok=True)
                labels.mkdir(parents=True, exist_ok=True)
                if folder in ('binary', 'colors'):
                    Image.fromarray(photo).save(images / f'{name}.jpg', quality=95)
                elif folder == 'gray':
                    tifffile.imwrite(images / f'{name}.tif', deep[..., 3], photometric='minisblack')
                else:
                    tifffile.imwrite(images / f'{name}.tif', deep, photometric='minisblack', planarconfig='contig',
                                     tile=(64, 64), compression='zlib')
                if split != 'train' or index < LABELED:
                    Image.fromarray(mask).save(labels / f'{name}.png')
    for folder in ('colors', 'gray', 'bands'):
        lines = [f'{i} {n} {" ".join(map(str, COLORS[i]))}\n' for i, n in enumerate(('soil', 'seed', 'stone'))]
        (root / folder / 'classes.txt').write_text(''.join(lines))
    (root / 'binary' / 'classes.txt').write_text('0 other 60 40 20\n1 seed 240 220 60\n')
    large = Image.new('RGB', (1600, 1200))
    tiles = [Image.fromarray((scene([3, index])[1][..., :3] * 255).astype(np.uint8)) for index in range(12)]
    for index in range(13 * 13):
        large.paste(tiles[index % 12], (index % 13 * SIZE[1], index // 13 * SIZE[0]))
    large.save(root / 'field.png')


if __name__ == '__main__':
    main(Path(sys.argv[1]))
