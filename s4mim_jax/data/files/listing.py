"""Which files of a folder are meant: one listing for all readers and for prediction, that tells what it leaves out.

Links are followed. A link to a folder that holds it would never end, and a second way to the same images would count
them twice: both are left out. Hidden and system entries are no data.
"""

import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.left_out import Tally

# Made by storage boxes, Macs and Windows beside the files of their users.
_SYSTEM = frozenset(('@eadir', '__macosx', 'thumbs.db', 'ehthumbs.db', 'desktop.ini', '#recycle', '#snapshot',
                     '@recycle', '@recently-snapshot', '$recycle.bin', 'system volume information', 'lost+found',
                     'icon\r', '__pycache__'))

HIDDEN, NOWHERE = 'hidden or system files and folders', 'links that lead nowhere'
AGAIN, LOOP = 'links to files and folders that are read already', 'links to a folder that holds them'
SPECIAL = 'entries that are no files'


def is_hidden(name: str) -> bool:
    """`.name` (with it the `._name` of a Mac), or one of the names that systems use."""
    return name.startswith('.') or name.lower() in _SYSTEM


def walk_files(folder: str | Path, tally: Tally, *, once: bool = True) -> Iterator[tuple[str, str, str]]:
    """Files in a folder and below, in no order: (path below the folder, '' at its top; name; whole path).

    Args:
      folder: one that does not exist has none.
      tally: receives what is left out.
      once: every real file once, whatever links lead to it: those that are no links come first. False: of masks, which
        several images may share; only endless links are left out.
    """
    walker = _Walker(tally, once)
    try:
        root = os.stat(folder)
    except OSError:
        return
    if not stat.S_ISDIR(root.st_mode):
        return
    above, parent = {_key(root)}, os.path.realpath(folder)
    while parent != os.path.dirname(parent):
        parent = os.path.dirname(parent)
        above.add(_key(os.stat(parent)))
    walker.folders.add(_key(root))
    yield from walker.inside(str(folder), '', frozenset(above))
    while walker.links:  # only now: what is no link comes first
        links, walker.links = sorted(walker.links, key=lambda link: link[1]), []
        for link in links:
            yield from walker.behind(*link)


class _Walker:
    """folders, files: keys of those that were met. links: (path, path below, keys of folders above), to follow yet."""

    def __init__(self, tally: Tally, once: bool):
        self._tally, self._once = tally, once
        self.folders, self.files, self.links = set(), set(), []

    def inside(self, path: str, below: str, above: frozenset, linked: bool = False) -> Iterator[tuple[str, str, str]]:
        """Files of a folder. linked: it was reached through a link, so that its files may be known."""
        try:
            device, entries = os.stat(path).st_dev, sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            self._tally.unreadable.append(f'{path} ({error.strerror})')
            return
        for entry in entries:
            inner = f'{below}/{entry.name}' if below else entry.name
            if is_hidden(entry.name):
                self._tally.add(HIDDEN, inner)
            elif entry.is_symlink():
                self.links.append((entry.path, inner, above))
            elif entry.is_dir():
                yield from self._folder(entry.path, inner, above, linked)
            elif not entry.is_file():
                self._tally.add(SPECIAL, inner)
            elif not linked:  # two names of one file (hard links) are two images
                self.files.add((device, entry.inode()))
                yield below, entry.name, entry.path
            elif self._new(self.files, (device, entry.inode()), inner):
                yield below, entry.name, entry.path

    def behind(self, path: str, below: str, above: frozenset) -> Iterator[tuple[str, str, str]]:
        """Files that a link leads to."""
        try:
            status = os.stat(path)
        except OSError:
            self._tally.add(NOWHERE, below)
            return
        if stat.S_ISDIR(status.st_mode):
            yield from self._folder(path, below, above, True)
        elif not stat.S_ISREG(status.st_mode):
            self._tally.add(SPECIAL, below)
        elif self._new(self.files, _key(status), below):
            yield os.path.dirname(below), os.path.basename(below), path

    def _folder(self, path, below, above, linked):
        key = _key(os.stat(path))
        if key in above:
            self._tally.add(LOOP, below)
        elif self._new(self.folders, key, below):
            yield from self.inside(path, below, above | {key}, linked)

    def _new(self, known: set, key, below: str) -> bool:
        if self._once and key in known:
            self._tally.add(AGAIN, below)
            return False
        known.add(key)
        return True


def list_files(folder: str | Path, suffixes: tuple[str, ...], tally: Tally | None = None, *,
               once: bool = True) -> dict[str, str]:
    """Files below a folder: id (path below it, no suffix, Unicode composed) -> path.

    Args:
      folder: where to look. suffixes: lower case, with the dot.
      tally: receives what is left out, files of other suffixes among it.
      once: see `walk_files`.

    Raises:
      InputError: two files of one id, or a folder that may not be read.
    """
    tally, found = tally if tally is not None else Tally(folder), {}
    for below, name, path in walk_files(folder, tally, once=once):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in suffixes:
            kind = f'files ending in {suffix.lower()}' if suffix else 'files without a suffix'
            tally.add(kind, f'{below}/{name}' if below else name)
            continue
        identity = composed(f'{below}/{stem}' if below else stem).replace(os.sep, '/')
        if identity in found:
            raise InputError(f'two files have the id {identity!r}: {found[identity]} and {path}\n'
                             f'valid: one file an id, whatever its suffix')
        found[identity] = path
    if tally.unreadable:
        raise InputError(f'{tally.unreadable[0]}: a folder of the dataset that may not be read')
    return found


def composed(text: str) -> str:
    """Unicode's form NFC: a Mac writes the umlaut of a name as two characters, most others as one."""
    return text if text.isascii() else unicodedata.normalize('NFC', text)


def file_key(path: str) -> tuple[int, int] | str:
    """Equal for two ways (links, `..`, other spellings) to one file; of what is no file, the text itself."""
    try:
        return _key(os.stat(path))
    except (OSError, ValueError):
        return path


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
