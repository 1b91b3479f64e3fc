"""Files of prediction: which images are meant, what their results are called, and writing them."""

import contextlib
import os
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files import tiff
from s4mim_jax.data.files.images import IMAGE_SUFFIXES, orientation
from s4mim_jax.data.files.left_out import LeftOut, Tally
from s4mim_jax.data.files.listing import walk_files
from s4mim_jax.views.normalize import as_rgb

_STRIP = 256  # rows of an overlay that are mixed at once
_SUFFIXES = ('.png', '_overlay.jpg', '_confidence.png')  # of the files written for an ID


def find_images(arguments: Sequence[str], output: Path, left: list[LeftOut] | None = None) -> list[Path]:
    """Files as given, and in place of a folder all images in it and below, sorted; each file once.

    Folders are walked as those of datasets are: links are followed, hidden and system files left out. What lies in
    the output folder is left out too, so that a second run does not predict on the first one's pictures.

    Args:
      arguments: files and folders. output: where results go. left: receives what folders hold that is no image.

    Raises:
      InputError: nothing given, a path that does not exist, or no image found.
    """
    if not arguments:
        raise InputError('no images: name files or folders after the options\n'
                         'for example: s4mim_jax.predict --workdir=DIR --output=OUT photo.jpg photos/')
    found = {}
    for argument in arguments:
        path = Path(argument)
        if os.path.isdir(path):
            tally, inside = Tally(argument), []
            for below, name, file in walk_files(path, tally):
                if not name.lower().endswith(IMAGE_SUFFIXES):
                    suffix = os.path.splitext(name)[1].lower()
                    kind = f'files ending in {suffix}' if suffix else 'files without a suffix'
                    tally.add(kind, f'{below}/{name}' if below else name)
                elif not _written(Path(file), path, output):
                    inside.append(Path(file))
            for closed in tally.unreadable:
                tally.add('folders that cannot be read', closed)
            inside.sort()
            if left is not None:
                left += tally.result()
        elif os.path.exists(path):
            inside = [path]
        elif os.path.islink(path):
            raise InputError(f'{argument}: a link that leads nowhere ({os.readlink(path)})')
        else:
            raise InputError(f'{argument}: no such file or folder')
        found |= {p.resolve(): p for p in inside if p.resolve() not in found}
    if not found:
        raise InputError(f'{", ".join(arguments)}: no image in there\nlooked for {", ".join(IMAGE_SUFFIXES)}')
    return list(found.values())


def _written(path: Path, folder: Path, output: Path) -> bool:
    """In the output folder, unless that folder holds the inputs as well."""
    output = output.resolve()
    return output in path.resolve().parents and output not in [folder.resolve(), *folder.resolve().parents]


def name_results(paths: Sequence[Path], output: Path) -> list[str]:
    """An ID for every image; its results are ID.png, ID_overlay.jpg and ID_confidence.png.

    The ID is the name without suffix. Images that would share a result file, also on a file system
    that does not tell capitals apart, get their parent folder's name in front, and then a number.

    Raises:
      InputError: a result would replace one of the images.
    """
    stems = [path.stem for path in paths]
    first = clashing_files(stems)
    wanted = [f'{path.resolve().parent.name}_{path.stem}' if stem.lower() in first else stem
              for path, stem in zip(paths, stems)]
    taken, names = set(), []
    # Names that had no quarrel keep theirs: they are given out first.
    for index in sorted(range(len(paths)), key=lambda i: stems[i].lower() in first):
        name, number = wanted[index], 2
        while not taken.isdisjoint(_files(name)):
            name, number = f'{wanted[index]}_{number}', number + 1
        taken |= _files(name)
        names.append((index, name))
    names = [name for _, name in sorted(names)]
    inputs = {path.resolve() for path in paths}
    for name, path in zip(names, paths):
        for suffix in _SUFFIXES:
            if (output / f'{name}{suffix}').resolve() in inputs:
                raise InputError(f'--output={output}: {name}{suffix}, a result for {path}, would replace an '
                                 'input\nname a folder of its own')
    return names


def _files(name: str) -> set[str]:
    # Some file systems tell neither capitals nor the forms of Unicode apart.
    return {unicodedata.normalize('NFC', f'{name}{suffix}').lower() for suffix in _SUFFIXES}


def clashing_files(stems: Iterable[str]) -> set[str]:
    """Lower-cased IDs that share a result file with another one."""
    owners: dict[str, list[str]] = {}
    for stem in stems:
        for file in _files(stem):
            owners.setdefault(file, []).append(stem.lower())
    return {stem for sharing in owners.values() if len(sharing) > 1 for stem in sharing}


def write_results(output: Path, name: str, image: np.ndarray, ids: np.ndarray, confidence: np.ndarray | None,
                  palette: np.ndarray) -> None:
    """Writes the pictures of one image.

    ID.png: class ids, mode P in the colours of the classes. ID_overlay.jpg: image and colours half
    and half. ID_confidence.png, if given: probability of the class, 16 bits, 65535 = 1.

    Args:
      output: folder. name: the ID.
      image: uint8 [H, W, channels]. ids: uint8 [H, W]. confidence: float32 [H, W] in 0..1, or None.
      palette: uint8 [C, 3].
    """
    classes = Image.fromarray(ids)
    classes.putpalette(palette.astype(np.uint8).tobytes())
    save_whole(classes, output / f'{name}.png')
    write_overlay(output / f'{name}_overlay.jpg', image, ids, palette)
    if confidence is not None:
        scaled = np.round(np.clip(confidence, 0.0, 1.0).astype(np.float64) * 65535).astype(np.uint16)
        save_whole(Image.fromarray(scaled), output / f'{name}_confidence.png')


def save_whole(picture: Image.Image, path: Path, **options) -> None:
    """Saves beside and renames, so that a failure leaves no half picture."""
    draft = path.with_name(f'.draft-{os.getpid()}-{threading.get_ident()}')
    try:
        picture.save(draft, 'JPEG' if path.suffix == '.jpg' else 'PNG', **options)
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def write_overlay(path: Path, image: np.ndarray, ids: np.ndarray, palette: np.ndarray,
                  where: np.ndarray | None = None) -> None:
    """Image and class colours half and half; the image alone where bool [H, W] `where` is False.

    Args:
      path: of a JPEG. image: uint8 [H, W, channels], see `views.as_rgb`. ids: uint8 [H, W]. palette: uint8 [C, 3].
    """
    save_whole(Image.fromarray(mixed(image, ids, palette, where)), path, quality=92)


def mixed(image: np.ndarray, ids: np.ndarray, palette: np.ndarray, where: np.ndarray | None = None) -> np.ndarray:
    """What `write_overlay` writes, uint8 [H, W, 3]."""
    result = np.empty((*ids.shape, 3), np.uint8)
    for start in range(0, len(ids), _STRIP):  # no second copy of a large image
        rows = slice(start, start + _STRIP)
        seen = as_rgb(image[rows])
        colored = (seen.astype(np.uint16) + palette[ids[rows]] + 1) // 2
        result[rows] = colored if where is None else np.where(where[rows, :, None], colored, seen)
    return result


def pixel_count(path: Path) -> int:
    """Pixels of an image, by its header; 0 where that cannot be read, which decoding will report."""
    height, width = header_size(path) or (0, 0)
    return height * width


def header_size(path: Path) -> tuple[int, int] | None:
    """(height, width) of an image upright, by its header; None where that cannot be read."""
    try:
        with open(path, 'rb') as file:
            if tiff.is_tiff(file.read(4)):
                found = tiff.layout(str(path), str(path))
                return found.height, found.width
        with Image.open(path) as image:
            turned = orientation(image) >= 5
            return (image.width, image.height) if turned else (image.height, image.width)
    except (InputError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
