"""Split lists: `splits/NAME_labeled.txt` or `splits/NAME/labeled.txt`, and the same for unlabeled.

A line is an id, a path, or a pair `image mask` of paths below the dataset's folder, as the public
lists for VOC, Cityscapes, COCO and ADE20K have them, see `list_names`. A pair that names the image twice
means that it has no mask. A last line without an end counts as a line.
"""

import difflib
from pathlib import Path

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.listing import file_key
from s4mim_jax.data.files.text import as_western, read_lines, undecoded
from s4mim_jax.data.list_names import Names
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
      InputError: no line, lines that name no image, images of 'val' or 'test', no mask, or another encoding.
    """
    lines = [line.strip() for line in read_lines(path, bytes_kept=True)]
    lines = [line for line in lines if line]
    if not lines:
        raise InputError(f'{path}: empty split list\nvalid: one id, or one pair `image mask`, a line')
    names, found = Names(source), {}
    for line in dict.fromkeys(lines):
        try:
            found[line] = names.resolve(line, labeled=labeled)
        except InputError as error:
            raise InputError(f'{path}, line {lines.index(line) + 1}: {error}') from None
    missing = [line for line, sample in found.items() if sample is None]
    if missing and undecoded(missing[0]):
        raise InputError(f'{path}: line {lines.index(missing[0]) + 1} is not UTF-8 and names no image in its bytes or '
                         f'as Windows-1252 ({as_western(missing[0])!r})\n'
                         'valid: UTF-8, or UTF-16 with its mark; iconv -f ENCODING -t UTF-8 converts')
    _refuse(missing, path, len(lines), 'have no image',
            f'ids of training images in {source.dir}, or paths below it{_near(missing, source)}')
    _refuse([line for line, sample in found.items() if names.held_out(sample)], path, len(lines),
            'belong to val or test', 'training images only')
    if labeled:
        _refuse([line for line, sample in found.items() if sample.mask is None], path, len(lines),
                'have no mask', 'images with a mask')
    samples = {}
    for line, sample in found.items():
        first = samples.setdefault(file_key(sample.image), sample)
        if labeled and file_key(first.mask) != file_key(sample.mask):
            raise InputError(f'{path}: {line!r} gives {sample.image} another mask than an earlier line, {first.mask}\n'
                             'valid: one mask an image')
    return tuple(sorted(samples.values(), key=lambda sample: sample.id))


def _near(missing: list[str], source: Source) -> str:
    """An id that is spelled nearly like the first line without an image."""
    if not missing:
        return ''
    word = missing[0].split()[0].rsplit('/', 1)[-1]
    near = difflib.get_close_matches(word, [sample.id for sample in source.splits['train'][:5000]], 1)
    return f'; near is {near[0]!r}' if near else ''


def _refuse(lines, path, total, what, valid):
    if lines:
        raise InputError(f'{path}: {len(lines)} of {total} lines {what}, e.g. {lines[0]!r}\n'
                         f'valid: {valid}')
