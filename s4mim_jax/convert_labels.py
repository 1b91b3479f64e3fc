"""Turns the export of an annotation tool into the folder of images and masks that this project reads.

python -m s4mim_jax.convert_labels EXPORT --output=FOLDER [--empty=background]

Read are labelme JSON, COCO JSON, Label Studio JSON, CVAT (images 1.1 and masks), Roboflow masks and YOLO polygons,
with their images beside them. `data.name=folder` reads the same exports as they are.
"""

from pathlib import Path

from absl import flags

from s4mim_jax.config import command_line as command
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.label_formats import NAMES, read_labels
from s4mim_jax.data.label_formats.opening import summary
from s4mim_jax.data.label_formats.writing import EMPTY, with_empty, write_folder
from s4mim_jax.data.progress import Progress


def main(positional, config_file, overrides) -> int:
    values = flags.FLAGS
    if config_file or overrides:
        raise InputError('convert_labels takes an export, --output and --empty; it has no config')
    if len(positional) != 1:
        raise InputError(f'{len(positional)} exports named\nvalid: one folder, such as `convert_labels my_export '
                         '--output=my_data`')
    if not values.output:
        raise InputError('--output is missing; name the folder to write')
    convert(Path(positional[0]), Path(values.output), values.empty)
    return 0


def convert(source: Path, output: Path, empty: str = 'unlabelled') -> None:
    """Converts an export and prints what it found.

    Args:
      source: folder of the export. output: a new folder. empty: 'unlabelled' | 'background', see `with_empty`.

    Raises:
      InputError: no export there, one that is not whole, or a folder that cannot be written.
    """
    if source.is_file():
        what = 'an archive: unpack it, and name the folder' if source.suffix in ('.zip', '.gz', '.tar') else \
            f'a file: name its folder, {source.parent}, in which its images lie too'
        raise InputError(f'{source}: {what}')
    if not source.is_dir():
        raise InputError(f'{source}: no such folder')
    labels = read_labels(source)
    if labels is None:
        raise InputError(f'{source}: no labels of a known tool\nvalid: {", ".join(NAMES)}')
    labels = with_empty(labels, empty)
    print(summary(labels), flush=True)
    pixels = write_folder(labels, output, Progress('converted', len(labels.pictures)).count)
    total = max(sum(pixels.values()), 1)
    for identity, name in [*enumerate(labels.classes), (IGNORE, 'ignored')]:
        if identity != IGNORE or pixels[IGNORE]:
            print(f'{identity:>4}  {name:<20} {100 * pixels[identity] / total:6.2f} % of the labelled pixels')
    print(f'written to {output}: images/, masks/, classes.txt', flush=True)


def run() -> None:
    """Defines the flags and starts."""
    flags.DEFINE_string('output', None, 'folder to write, new or empty')
    flags.DEFINE_enum('empty', 'unlabelled', EMPTY, 'what images of the export are on which nothing is drawn')
    flags.FLAGS.set_gnu_getopt(True)
    command.run(main)


if __name__ == '__main__':
    run()
