"""What a dataset is to the rest of the project: classes, colours, and lists of samples.

A reader (`folder`, `camvid`, `voc`, `shapes`) turns a place on disk into a `Source`; nothing
downstream knows which one it was.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from s4mim_jax.data.mask_colors import ColorTable
from s4mim_jax.data.pixel_format import PLAIN, PixelFormat, pixel_format
from s4mim_jax.errors import InputError

IGNORE = 255  # label of a pixel that is neither trained on nor scored

# Imported when asked for: `shapes` brings TensorFlow Datasets with it.
READERS = {
    'folder': 's4mim_jax.data.folder:open_folder',
    'camvid': 's4mim_jax.data.camvid:open_camvid',
    'voc': 's4mim_jax.data.voc:open_voc',
    'shapes': 's4mim_jax.data.shapes.reader:open_shapes',
}


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
      cache_dir: where the walk over the files keeps what it found; None = nowhere.
      pixels: channels and value range of the images; `open_source` sets it.
      colors: what the colours of colour masks mean; None = there are no such masks.
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
    cache_dir: str | None = None
    pixels: PixelFormat = PLAIN
    colors: ColorTable | None = None

    @property
    def num_classes(self) -> int:
        return len(self.classes)


def open_source(data) -> Source:
    """Opens the dataset that `config.data` names.

    Args:
      data: `config.data`; read are name, dir, label_map, mask_colors, channels, value_range and cache.

    Raises:
      InputError: unknown name, missing folder, or whatever the reader finds wrong.
    """
    if data.name not in READERS:
        raise InputError(f'--config.data.name={data.name}: unknown dataset\n'
                         f'valid: {", ".join(sorted(READERS))}')
    module, function = READERS[data.name].split(':')
    source = getattr(importlib.import_module(module), function)(resolve_dir(data), data)
    return replace(source, pixels=pixel_format(data))


def resolve_dir(data) -> Path:
    """Folder of the dataset: `data.dir`, else $S4MIM_DATA/<name> if it exists, else data/<name>.

    Raises:
      InputError: there is no such folder (`shapes` is made when missing, so it may be absent).
    """
    if data.dir:
        folder = Path(data.dir).expanduser()
        tried = f'--config.data.dir={data.dir}: no such folder'
    else:
        folder = Path('data') / data.name
        tried = f'dataset {data.name!r} not found: no folder {folder}'
        if os.environ.get('S4MIM_DATA'):
            shared = Path(os.environ['S4MIM_DATA']) / data.name
            tried += f' and no {shared}'
            folder = shared if shared.is_dir() else folder
    if not folder.is_dir() and (data.name != 'shapes' or folder.exists()):
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


def mask_lookup(label_map: str | None, default: dict[int, int] | None = None) -> np.ndarray:
    """Table of raw mask value -> class id.

    Args:
      label_map: `config.data.label_map`, e.g. '0:0,255:1'; values it leaves out become 255.
      default: changes to the identity when there is no label_map, e.g. {11: 255}.

    Returns:
      uint8 [256].

    Raises:
      InputError: text that is not `value:class` pairs of 0..255.
    """
    lookup = np.arange(256, dtype=np.uint8)
    for value, target in (default or {}).items():
        lookup[value] = target
    if label_map is None:
        return lookup
    lookup[:] = IGNORE
    for pair in label_map.split(','):
        value, _, target = pair.partition(':')
        if not (value.strip().isdecimal() and target.strip().isdecimal()
                and int(value) <= 255 and int(target) <= 255):
            raise InputError(f'--config.data.label_map={label_map}: {pair!r} is not VALUE:CLASS with '
                             f'numbers 0..255\nvalid, for example: 0:0,255:1')
        lookup[int(value)] = int(target)
    return lookup


def require_targets(label_map: str | None, lookup: np.ndarray, num_classes: int) -> None:
    """Refuses a label_map that maps to classes the dataset does not have."""
    excess = sorted(set(lookup[(lookup >= num_classes) & (lookup != IGNORE)].tolist()))
    if label_map is not None and excess:
        raise InputError(f'--config.data.label_map={label_map} maps to class {excess[0]}\n'
                         f'valid: 0..{num_classes - 1} and {IGNORE} (ignore)')
