"""Draws a sheet of examples and their masks, as in the README:

    python -m s4mim_jax.data.shapes.picture --output=docs/shapes.png
"""

from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image

from s4mim_jax.config import command_line
from s4mim_jax.config.errors import InputError
from s4mim_jax.data.shapes.scene import PALETTE, draw


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


def main(positional, config_file, overrides) -> None:
    values = flags.FLAGS
    if positional or config_file or overrides:
        raise InputError('picture takes --output, --rows and --columns')
    if not values.output:
        raise InputError('--output is missing; name the PNG file to write')
    output = Path(values.output)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sheet(values.rows, values.columns)).save(output, 'PNG', optimize=True)
    except OSError as error:
        raise InputError(f'--output={output}: cannot be written ({error.strerror or error})') from None
    print(f'{output}: {output.stat().st_size // 1000} kB')


if __name__ == '__main__':
    flags.DEFINE_string('output', None, 'PNG file to write')
    flags.DEFINE_integer('columns', 6, 'images in a row', lower_bound=1)
    flags.DEFINE_integer('rows', 2, 'rows; each is a row of images and one of masks', lower_bound=1)
    command_line.run(main)
