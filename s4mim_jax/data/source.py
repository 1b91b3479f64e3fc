"""What a dataset is to the rest of the project: classes, colours, and lists of samples.

A reader (`folder`, `voc`, `cityscapes`, ...; the table below) turns a place on disk into a `Source`;
nothing downstream knows which one it was.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.left_out import LeftOut
from s4mim_jax.data.files.mask_colors import ColorTable
from s4mim_jax.data.files.pixel_format import PLAIN, PixelFormat, pixel_format
from s4mim_jax.data.label_map import mask_lookup, require_targets
from s4mim_jax.data.mask_meaning import MaskMeaning

# Imported when asked for: `shapes` brings TensorFlow Datasets with it.
READERS = {
    'folder': 's4mim_jax.data.readers.folder:open_folder',
    'camvid': 's4mim_jax.data.readers.camvid:open_camvid',
    'voc': 's4mim_jax.data.readers.voc:open_voc',
    'cityscapes': 's4mim_jax.data.readers.cityscapes:open_cityscapes',
    'ade20k': 's4mim_jax.data.readers.ade20k:open_ade20k',
    'coco': 's4mim_jax.data.readers.coco:open_coco',
    'shapes': 's4mim_jax.data.shapes.reader:open_shapes',
    'shapes_large': 's4mim_jax.data.shapes.reader:open_large',
    'patterns': 's4mim_jax.data.patterns.reader:open_patterns',
    'tfds': 's4mim_jax.data.readers.tfds:open_tfds',
}
DRAWN = ('shapes', 'shapes_large', 'patterns')  # by the package, when missing
# Readers whose `data.name` goes on after a colon, and what follows it.
VARIANTS = {'voc': 'voc:aug', 'tfds': 'tfds:NAME'}


@dataclass(frozen=True)
class Sample:
    """One image. `image` and `mask` are what `Source.read_bytes` takes; mask None = unlabelled."""

    id: str
    image: str
    mask: str | None


def read_file(path: str) -> bytes:
    """Bytes of a file.

    Raises:
      InputError: the file is missing or may not be read.
    """
    try:
        with open(path, 'rb') as file:
            return file.read()
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from None


@dataclass(frozen=True, eq=False)
class Source:
    """An opened dataset.

    Attributes:
      name: name of the reader.
      classes: C class names; the position is the class id.
      palette: uint8 [C, 3], RGB.
      splits: samples of 'train', 'val', 'test' in order of id; a split that is not there is no key.
      lookup: uint8 [256], raw mask value -> class id or 255. Values that map to C .. 254 are errors.
      dir: the dataset's folder.
      roots: folders in which `splits/` and the paths written in split lists are looked up.
      read_bytes: `Sample.image` or `.mask` -> encoded bytes; may be called from several threads.
      find: id -> a training sample that is not in splits['train'] (VOC's lists name some), or None.
      mask_end: end of the names of the masks that `lookup` is for; a mask of another name in a split
        list gives way to the sample's own. '' = any.
      stamp: path -> numbers that change when what is read there does; None = size and time of the file.
      cache_dir: where the scan over the files keeps what it found; None = nowhere.
      pixels: channels and value range of the images; `open_source` sets it.
      colors: what the colours of colour masks mean; None = there are no such masks.
      left_out: what lies in the dataset's folders and is not used.
      mask_folders: names of folders that stand for one another in the masks' paths of split lists.
      mask_colors, label_map: as in `config.data`; `open_source` sets them.
      masks: what their numbers and colours mean, settled by `check_samples` from the files, for all of them alike.
      notes: lines for the start-up text: how the files were read, and what was left out.
    """

    name: str
    classes: tuple[str, ...]
    palette: np.ndarray
    splits: dict[str, tuple[Sample, ...]]
    lookup: np.ndarray
    dir: str
    roots: tuple[str, ...] = ()
    read_bytes: Callable[[str], bytes] = read_file
    find: Callable[[str], Sample | None] = lambda _: None
    mask_end: str = ''
    stamp: Callable[[str], list[int]] | None = None
    cache_dir: str | None = None
    pixels: PixelFormat = PLAIN
    colors: ColorTable | None = None
    left_out: tuple[LeftOut, ...] = ()
    mask_folders: tuple[str, ...] = ()
    mask_colors: str = 'auto'
    label_map: str | None = None
    masks: MaskMeaning = field(default_factory=MaskMeaning)
    notes: tuple[str, ...] = ()

    @property
    def num_classes(self) -> int:
        return len(self.classes)


def open_source(data) -> Source:
    """Opens the dataset that `config.data` names.

    Args:
      data: `config.data`; read are name, dir, label_map, mask_colors, channels, value_range, cache and tfds_*.

    Raises:
      InputError: unknown name, missing folder, or whatever the reader finds wrong.
    """
    reader = reader_name(data.name)
    for key in ('tfds_image', 'tfds_label', 'tfds_splits'):
        if reader != 'tfds' and data[key] is not None:
            raise InputError(f'--config.data.{key}={data[key]}: only for --config.data.name=tfds:NAME, and the name '
                             f'is {data.name}')
    module, function = READERS[reader].split(':')
    source = getattr(importlib.import_module(module), function)(resolve_dir(data), data)
    require_classes(source)
    return replace(source, pixels=pixel_format(data), mask_colors=data.mask_colors, label_map=data.label_map)


def require_classes(source: Source) -> None:
    """Refuses a dataset whose scores would mean nothing.

    Raises:
      InputError: fewer than two classes, or two of one name.
    """
    if source.num_classes < 2:
        raise InputError(f'{source.dir}: one class, {source.classes[0]!r}; every prediction would be right\n'
                         'valid: two classes and more; what is not the thing (the background) is a class too: '
                         '0 background, 1 thing')
    twice = next((name for name in source.classes if source.classes.count(name) > 1), None)
    if twice is not None:
        ids = [str(i) for i, name in enumerate(source.classes) if name == twice]
        raise InputError(f'{source.dir}: the classes {" and ".join(ids)} have one name, {twice!r}\n'
                         'valid: a name of its own for every class; --config.data.label_map joins classes')


def reader_name(name: str) -> str:
    """The reader of a `data.name`: what stands before its colon.

    Raises:
      InputError: there is no such reader, or it takes nothing behind a colon.
    """
    reader, colon, _ = name.partition(':')
    if reader not in READERS or (colon and reader not in VARIANTS):
        raise InputError(f'--config.data.name={name}: unknown dataset\n'
                         f'valid: {", ".join(sorted({*READERS, *VARIANTS.values()} - {"tfds"}))}')
    return reader


def make_source(folder: Path, data, classes: tuple[str, ...], palette: np.ndarray,
                splits: dict[str, tuple[Sample, ...]], *, raw: dict[int, int] | None = None,
                roots: tuple[Path, ...] = (), **others) -> Source:
    """The Source of a reader: what all of them do in the same way.

    Args:
      folder: of the dataset. data: `config.data`.
      classes, palette, splits: as in `Source`; the palette may have any integer type.
      raw: mask value -> class id or 255, where that is not the identity; `data.label_map` replaces it.
      roots: see `Source.roots`; default: the folder. others: more of the Source's attributes.

    Raises:
      InputError: a label_map that cannot be read, or that maps to classes which are not there.
    """
    lookup = mask_lookup(data.label_map, raw)
    require_targets(data.label_map, lookup, len(classes))
    return Source(name=data.name, classes=tuple(classes), palette=np.asarray(palette, np.uint8), splits=splits,
                  lookup=lookup, dir=str(folder), roots=tuple(map(str, roots or (folder,))),
                  **{'cache_dir': cache_dir(folder, data), **others})


def resolve_dir(data) -> Path:
    """Folder of the dataset: `data.dir`, else $S4MIM_DATA/<name> if it exists, else data/<name>.

    <name> is that of the reader. Where TFDS keeps its datasets, ~/tensorflow_datasets, comes last.

    Raises:
      InputError: there is no such folder (those of DRAWN are made when missing, `tfds` says how to).
    """
    name = reader_name(data.name)
    if data.dir:
        folder = Path(data.dir).expanduser()
        tried = f'--config.data.dir={data.dir}: no such folder'
    else:
        folder = Path('data') / name
        tried = f'dataset {data.name!r} not found: no folder {folder}'
        if os.environ.get('S4MIM_DATA'):
            shared = Path(os.environ['S4MIM_DATA']) / name
            tried += f' and no {shared}'
            folder = shared if shared.is_dir() else folder
        if name == 'tfds' and not folder.is_dir():
            folder = Path('~/tensorflow_datasets').expanduser()
    if not folder.is_dir() and (name not in (*DRAWN, 'tfds') or folder.exists()):
        raise InputError(f'{tried}\nset --config.data.dir=FOLDER to a folder that exists')
    return folder


def cache_dir(folder: Path, data) -> str | None:
    """`FOLDER/.s4mim_cache` where that can be written, else a folder of its own in ~/.cache."""
    if not data.cache:
        return None
    # The mode as well as access: to root every folder is writable, one marked read-only too.
    if os.access(folder, os.W_OK) and folder.stat().st_mode & 0o222:
        return str(folder / '.s4mim_cache')
    readable = str(folder.resolve()).strip(os.sep).replace(os.sep, '_')
    return str(Path('~/.cache/s4mim_jax').expanduser() / readable)
