"""Split lists: `splits/NAME_labeled.txt` or `splits/NAME/labeled.txt`, and the same for unlabeled.

A line is an id, a path, or a pair `image mask` of paths below the dataset's folder, as the public
lists for VOC, Cityscapes, COCO and ADE20K have them. A last line without an end counts as a line.
"""

import os
from dataclasses import replace
from pathlib import Path

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.images import IMAGE_SUFFIXES
from s4mim_jax.data.source import Sample, Source


def find_lists(source: Source, name: str) -> tuple[Path, Path | None]:
    """Paths of the labelled and the unlabelled list of a split; None = no unlabelled list.

    Raises:
      InputError: there is no labelled list of this name; the names that exist are listed.
    """
    for root in source.roots:
        for pattern in (f'{name}_{{}}.txt', f'{name}/{{}}.txt'):
            labeled, unlabeled = (Path(root, 'splits', pattern.format(kind))
                                  for kind in ('labeled', 'unlabeled'))
            if labeled.is_file():
                return labeled, unlabeled if unlabeled.is_file() else None
    raise InputError(f'--config.data.split={name}: no splits/{name}_labeled.txt or '
                     f'splits/{name}/labeled.txt in {source.dir}\n'
                     f'valid: {", ".join(["all", "seeded:1/8", *list_names(source)])}')


def list_names(source: Source) -> list[str]:
    """Names of the splits that have a labelled list."""
    names = set()
    for root in source.roots:
        for path in Path(root, 'splits').glob('**/*labeled.txt'):
            below = path.relative_to(Path(root, 'splits')).as_posix()
            for end in ('_labeled.txt', '/labeled.txt'):
                if below.endswith(end):
                    names.add(below.removesuffix(end))
    return sorted(names)


def read_list(path: Path, source: Source, *, labeled: bool) -> tuple[Sample, ...]:
    """Samples of a list in order of id, each once.

    Args:
      path: the list.
      source: the dataset; lines may name images outside splits['train'], but none of 'val', 'test'.
      labeled: every sample must have a mask. Otherwise a mask that does not exist is None.

    Raises:
      InputError: no line, lines that name no image, images of 'val' or 'test', or no mask.
    """
    lines = [line.strip() for line in path.read_text(encoding='utf-8-sig').splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        raise InputError(f'{path}: empty split list\nvalid: one id, or one pair `image mask`, a line')
    index = _index(source)
    found = {line: _resolve(line, source, index) for line in lines}
    _refuse([line for line, sample in found.items() if sample is None], path, len(lines),
            'have no image', f'ids of training images in {source.dir}, or paths below it')
    held_out = {s.image for split in ('val', 'test') for s in source.splits.get(split, ())}
    _refuse([line for line, sample in found.items() if sample.image in held_out], path, len(lines),
            'belong to val or test', 'training images only')
    if labeled:
        _refuse([line for line, sample in found.items() if sample.mask is None], path, len(lines),
                'have no mask', 'images with a mask')
    samples = {sample.image: sample for sample in found.values()}
    return tuple(sorted(samples.values(), key=lambda sample: sample.id))


def _refuse(lines, path, total, what, valid):
    if lines:
        raise InputError(f'{path}: {len(lines)} of {total} lines {what}, e.g. {lines[0]!r}\n'
                         f'valid: {valid}')


def _index(source: Source) -> dict[str, Sample]:
    """Training samples by all that a line may call them; ids win over paths."""
    index = {}
    for sample in source.splits['train']:
        for root in source.roots:
            below = os.path.relpath(sample.image, root).replace(os.sep, '/')
            index[below] = index[os.path.splitext(below)[0]] = sample
    index.update({sample.id: sample for sample in source.splits['train']})
    return index


def _resolve(line: str, source: Source, index: dict[str, Sample]) -> Sample | None:
    if line in index:  # also an id with a space in it
        return index[line]
    image, *rest = line.split()
    if len(rest) > 1:
        return None
    sample = _find_image(image, source, index)
    if sample and rest and _same(rest[0], image, sample, source.roots):  # UniMatch's way to say that there is no mask
        return replace(sample, mask=None)
    mask = _existing(rest[0], source.roots) if rest and rest[0].endswith(source.mask_end) else None
    return replace(sample, mask=mask) if sample and mask else sample


def _find_image(name: str, source: Source, index: dict[str, Sample]) -> Sample | None:
    """By id or path; then outside the training list; then by the bare name of a foreign path."""
    bare, suffix = os.path.splitext(name)
    bare = bare if suffix.lower() in IMAGE_SUFFIXES else name
    last = bare.rsplit('/', 1)[-1]
    for candidate in (index.get(name), index.get(bare), source.find(bare)):
        if candidate:
            return candidate
    path = _existing(name, source.roots)
    if path and suffix.lower() in IMAGE_SUFFIXES:
        known = source.find(last)
        return known if known and os.path.samefile(known.image, path) else Sample(bare, path, None)
    return index.get(last) or source.find(last)


def _same(word: str, image: str, sample: Sample, roots: tuple[str, ...]) -> bool:
    """Whether the second word of a line names the image once more."""
    if word == image:
        return True
    path = _existing(word, roots)
    return path is not None and os.path.isfile(sample.image) and os.path.samefile(path, sample.image)


def _existing(name: str, roots: tuple[str, ...]) -> str | None:
    paths = (os.path.join(root, name.lstrip('/')) for root in roots)
    return next((path for path in paths if os.path.isfile(path)), None)
