"""The scan of a dataset's files before training: in threads, with progress, paid for once.

The cache holds what files are (size, kind, values), never verdicts: those depend on the config.
"""

import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.image_info import ImageInfo, image_info
from s4mim_jax.data.files.mask_info import MaskInfo, mask_info
from s4mim_jax.data.files.pixel_format import PLAIN, PixelFormat
from s4mim_jax.data.progress import Progress

FORMAT = 2  # of the cache file; raise it when their entries change their meaning
CACHE_FILE = 'files.json'
_READERS = {'image': (image_info, ImageInfo), 'mask': (mask_info, MaskInfo)}


def scan_files(paths: Iterable[tuple[str, str]], read_bytes: Callable[[str], bytes], *, base: str,
         cache_dir: str | None, stamp: Callable[[str], list[int]] | None = None,
         pixels: PixelFormat = PLAIN) -> tuple[dict, dict[str, str]]:
    """Facts of files.

    Args:
      paths: ('image' | 'mask', path) pairs; repeated ones are read once.
      read_bytes: path -> bytes, called from several threads.
      base: folder of the dataset; the cache names files relative to it, so it may be moved.
      cache_dir: folder of the cache, made if missing; None = read everything, keep nothing.
      stamp: see `Source.stamp`.
      pixels: how images are read, see `images`. Facts of masks do not depend on the config.

    Returns:
      info {path: ImageInfo | MaskInfo} and errors {path: message of its InputError}.
    """
    paths = list(dict.fromkeys(paths))
    stamps = {path: (stamp or _stamp)(path) for _, path in paths} if cache_dir else {}
    cached = _load(cache_dir)
    info, errors, fresh, todo = {}, {}, {}, []
    # Facts depend on how an image is read: every way has entries of its own.
    reading = {'image': pixels, 'mask': None}
    entry = {'image': 'image' if pixels.plain else f'image {pixels.channels} {pixels.value_range}', 'mask': 'mask'}
    for kind, path in paths:
        known = _from_cache(cached, kind, f'{entry[kind]}:{_key(path, base)}', stamps.get(path))
        if known is None:
            todo.append((kind, path))
        else:
            info[path] = known

    def read(item):
        kind, path = item
        try:
            return _READERS[kind][0](read_bytes(path), path, reading[kind])
        except InputError as error:
            return error

    progress = Progress('checking files', len(todo))
    pool = ThreadPoolExecutor(min(32, 2 * (os.cpu_count() or 1)))
    try:
        for (kind, path), result in zip(todo, pool.map(read, todo)):
            if isinstance(result, InputError):
                errors[path] = str(result)
            else:
                info[path] = result
                if stamps.get(path):
                    fresh[f'{entry[kind]}:{_key(path, base)}'] = [stamps[path], astuple(result)]
            progress.count()
    finally:  # an interrupted scan keeps what it has
        pool.shutdown(cancel_futures=True)
        if fresh:
            _save(cache_dir, {**cached, **fresh})
    return info, errors


def _key(path: str, base: str) -> str:
    inside = path.startswith(base.rstrip(os.sep) + os.sep)
    return os.path.relpath(path, base) if inside else os.path.abspath(path)


def _stamp(path: str) -> list[int] | None:
    try:
        status = os.stat(path)
    except OSError:  # not a file: missing, or a record of a TFDS dataset
        return None
    return [status.st_size, status.st_mtime_ns]


def _from_cache(cached: dict, kind: str, key: str, stamp: list[int] | None):
    """The entry, or None if unknown, stale or not what this version writes."""
    try:
        known, values = cached[key]
        if stamp is None or known != stamp:
            return None
        if kind == 'mask':
            values = [tuple(int(v) for v in value) if isinstance(value, list) else value for value in values]
        return _READERS[kind][1](*values)
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _load(folder: str | None) -> dict:
    """A missing, damaged or older cache is an empty one: it can always be made again."""
    try:
        with open(os.path.join(folder or '', CACHE_FILE), encoding='utf-8') as file:
            content = json.load(file)
        return content['files'] if content['format'] == FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _save(folder: str, files: dict) -> None:
    """Written beside and renamed, so that a reader never sees half a file."""
    draft = os.path.join(folder, f'{CACHE_FILE}.{os.getpid()}')
    try:
        os.makedirs(folder, exist_ok=True)
        with open(draft, 'w', encoding='utf-8') as file:
            json.dump({'format': FORMAT, 'files': files}, file, separators=(',', ':'))
        os.replace(draft, os.path.join(folder, CACHE_FILE))
    except OSError:  # a full or read-only disk costs time, not the run
        pass
