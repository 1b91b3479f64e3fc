"""The images beside an annotation file: found by the names that tools write, which are seldom paths that exist."""

import os
import re
from pathlib import Path, PurePosixPath

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.images import IMAGE_SUFFIXES

_UPLOADED = re.compile(r'^[0-9a-f]{8}-')  # Label Studio puts these in front of what is uploaded


class ImageFiles:
    """The images of a folder, hidden files and folders left out.

    Attributes:
      paths: path below the folder, with '/', -> path on disk; in order.
    """

    def __init__(self, folder: Path, skip: tuple[str, ...] = ()):
        """skip: ends of stems that are no images, such as '_mask'."""
        self.folder, self.paths, self._by_name = folder, {}, {}
        for parent, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith(('.', '__MACOSX', '@')))
            for name in sorted(names):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in IMAGE_SUFFIXES and not name.startswith('.') and not stem.endswith(skip or ('\0',)):
                    path = os.path.join(parent, name)
                    below = os.path.relpath(path, folder).replace(os.sep, '/')
                    self.paths[below] = path
                    self._by_name.setdefault(name, []).append(below)

    def find(self, name: str, where: str, near: str = '', split: str = '') -> str:
        """The image that a tool calls `name`, as its path below the folder.

        Looked for as a path below `near` (the annotation file's folder, below the dataset), then below the dataset and
        its folder images/, then by its name alone: of several those in the
        folder that the tool names, and of the split, are preferred.

        Raises:
          InputError: none, or several.
        """
        wanted = PurePosixPath(re.sub(r'[?#].*$', '', name.replace('\\', '/')) if '://' in name
                               else name.replace('\\', '/'))
        relative = str(wanted).lstrip('/')
        for base in (near, '', 'images', f'{near}/images'):
            path = os.path.normpath(os.path.join(base, relative)).replace(os.sep, '/')
            if path in self.paths:
                return path
        for last in dict.fromkeys((wanted.name, _UPLOADED.sub('', wanted.name))):
            found = self._by_name.get(last, [])
            for part in wanted.parts[-2:-1]:
                found = [below for below in found if part in below.split('/')[:-1]] or found
            if split:
                found = [below for below in found if split_of(below.rpartition('/')[0], '') == split_of(split)] or found
            if len(found) > 1:
                raise InputError(f'{where}: the image {name!r} may be {found[0]} or {found[1]} in {self.folder}\n'
                                 'valid: file names that differ, or paths in the export')
            if found:
                return found[0]
        raise InputError(f'{where}: no image {name!r} in {self.folder}\nvalid: the images of the export beside it, '
                         f'with their names ({", ".join(list(self.paths)[:3]) or "there is no image at all"})')


def image_id(below: str) -> str:
    """The id of an image from its path below the dataset: without suffix and without folders that name splits only."""
    parts = list(PurePosixPath(below).with_suffix('').parts)
    plain = ('images', 'image', 'train', 'val', 'valid', 'validation', 'test', 'training', 'data', 'jpegimages',
             'train2017', 'val2017', 'imgs', 'img', 'default')
    return '/'.join([part for part in parts[:-1] if part.lower() not in plain] + parts[-1:])


def split_of(path: str, default: str = 'train') -> str:
    """The split that a relative path names by one of its folders or by a part of its file's name.

    'annotations/instances_val2017.json' -> 'val'; 'valid/images/a.jpg' -> 'val'.
    """
    for part in path.replace('\\', '/').lower().split('/'):
        words = re.split(r'[^a-z]+', part)
        for split, known in (('train', ('train', 'training')), ('val', ('val', 'valid', 'validation', 'dev')),
                             ('test', ('test', 'testing'))):
            if any(word in known for word in words):
                return split
    return default
