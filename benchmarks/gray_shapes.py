"""`shapes` as a folder of images of one channel and 16 bits, as a microscope or a camera of an industry writes them.

    python benchmarks/gray_shapes.py gray                # images/, masks/, classes.txt in gray/

The drawings and splits are those of the embedded dataset; of the colours the luminance stays (ITU-R BT.601), which
tells less, in the values 1,000 to 4,570 of 65,535.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from s4mim_jax.data.shapes.builder import Shapes
from s4mim_jax.data.shapes.scene import CLASSES, PALETTE, draw

LUMINANCE = (0.299, 0.587, 0.114)
BLACK, LEVEL = 1000, 14  # a sensor's dark value, and its values a gray level


def gray(image: np.ndarray) -> np.ndarray:
    """u8 [H, W, 3] -> u16 [H, W]."""
    return (BLACK + LEVEL * (image @ np.array(LUMINANCE))).round().astype(np.uint16)


def write(folder: Path, counts: dict[str, int]) -> None:
    """The first images of each split as 16-bit PNG, and their masks of class ids."""
    for split, count in counts.items():
        for kind in ('images', 'masks'):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            image, label = draw(Shapes.SPLITS[split][0], index)
            name = f'{split}_{index:04d}.png'
            Image.fromarray(gray(image)).save(folder / 'images' / split / name)
            Image.fromarray(label).save(folder / 'masks' / split / name)
    lines = (f'{i} {name} {" ".join(map(str, color))}' for i, (name, color) in enumerate(zip(CLASSES, PALETTE)))
    (folder / 'classes.txt').write_text('\n'.join(lines) + '\n')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path)
    folder = parser.parse_args().folder
    write(folder, {split: count for split, (_, count) in Shapes.SPLITS.items()})
    print(f'{folder}: ' + ', '.join(f'{count} {split}' for split, (_, count) in Shapes.SPLITS.items()))


if __name__ == '__main__':
    main()
