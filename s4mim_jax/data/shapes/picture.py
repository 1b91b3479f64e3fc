"""Draws a sheet of examples and their masks, as in the README:

    python -m s4mim_jax.data.shapes.picture --output=docs/shapes.png
"""

import sys
from pathlib import Path

import numpy as np
from absl import app, flags
from PIL import Image

from s4mim_jax.data.shapes.scene import PALETTE, draw

_OUTPUT = flags.DEFINE_string('output', None, 'PNG file to write', required=True)
_COLUMNS = flags.DEFINE_integer('columns', 6, 'images in a row', lower_bound=1)
_ROWS = flags.DEFINE_integer('rows', 2, 'rows; each is a row of images and one of masks', lower_bound=1)


def sheet(rows: int, columns: int) -> np.ndarray:
    """The first training examples: alternating rows of images and coloured masks.

    Returns:
      uint8 [2 * rows * 96, columns * 96, 3], RGB.
    """
    palette = np.array(PALETTE, np.uint8)
    bands = []
    for row in range(rows):
        pairs = [draw(0, row * columns + column) for column in range(columns)]
        bands.append(np.concatenate([image for image, _ in pairs], axis=1))
        bands.append(np.concatenate([palette[label] for _, label in pairs], axis=1))
    return np.concatenate(bands, axis=0)


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f'unexpected argument {argv[1]!r}')
    output = Path(_OUTPUT.value)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet(_ROWS.value, _COLUMNS.value)).save(output, 'PNG', optimize=True)
    except OSError as error:
        sys.exit(f'{output}: cannot be written ({error})')
    print(f'{output}: {output.stat().st_size // 1000} kB')


if __name__ == '__main__':
    app.run(main)
