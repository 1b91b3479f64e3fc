"""The checks of images and masks before training, and the table of what was found.

All problems of one kind are reported together, with a few of the files and their number.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.check.surprises import surprises
from s4mim_jax.data.files.mask_colors import unpacked
from s4mim_jax.data.files.scan import scan_files
from s4mim_jax.data.mask_reading import labels_of, numbers_of, unknown_colors, unknown_values
from s4mim_jax.data.source import Sample, Source

_FROM_SOURCE = object()


@dataclass(frozen=True)
class SampleRow:
    """What the pipeline needs to know of a sample.

    Attributes:
      height, width: pixels, after the EXIF orientation.
      kind: 'jpeg', 'png8' or 'other', see `ImageInfo`.
      mask_kind: 'gray8' or 'other', see `MaskInfo`; '' = no mask.
      classes: class ids that occur in the mask, ascending, without ignore.
    """

    height: int
    width: int
    kind: str
    mask_kind: str
    classes: tuple[int, ...]


@dataclass(frozen=True)
class SampleTable:
    """What is known of each sample: `table[sample]`."""

    rows: dict[str, SampleRow]  # by Sample.image

    def __getitem__(self, sample: Sample) -> SampleRow:
        return self.rows[sample.image]

    def __len__(self) -> int:
        return len(self.rows)


def check_samples(source: Source, samples: Iterable[Sample], *, cache_dir=_FROM_SOURCE) -> SampleTable:
    """Looks at every file of the samples; masks are decoded, images where their end looks wrong.

    Args:
      source: where they come from.
      samples: any of its samples; those without a mask are checked as images.
      cache_dir: where to keep what is found; default `source.cache_dir`, None = nowhere.

    Returns:
      a SampleTable with a row for each sample.

    Raises:
      InputError: an image or mask is missing, truncated or no image; masks that have no one meaning, see
        `mask_meaning`; image and mask differ in size; mask values outside the classes; nothing but 0 and 255 in all
        masks of the source.
    """
    samples = list(dict.fromkeys(samples))
    cache = source.cache_dir if cache_dir is _FROM_SOURCE else cache_dir
    paths = [('image', s.image) for s in samples] + [('mask', s.mask) for s in samples if s.mask]
    info, errors = scan_files(paths, source.read_bytes, base=source.dir, cache_dir=cache, stamp=source.stamp,
                         pixels=source.pixels)
    _report(list(errors.values()), 'files cannot be used')

    labeled = [s for s in samples if s.mask]
    _report([message for s in labeled if (message := size_problem(s, info[s.image], info[s.mask]))],
            'masks differ from their image in size')
    problems = source.masks.settle(source, {s.mask: info[s.mask] for s in labeled})
    _report(list(problems.values()), 'masks cannot be read in one way')
    _require_known_colors(source, labeled, info)
    _require_classes(source, labeled, info)
    refuse_only_ignore(source, labeled, info, cache_dir=cache)
    rows = {}
    for sample in samples:
        image, mask = info[sample.image], info.get(sample.mask)
        present = set(labels_of(source, source.masks.reading, mask)) - {IGNORE} if mask else ()
        rows[sample.image] = SampleRow(image.height, image.width, image.kind, mask.kind if mask else '',
                                 tuple(sorted(present)))
    return SampleTable(rows)


def size_problem(sample: Sample, image, mask) -> str:
    """What is wrong with the sizes of an image and its mask, by their info; '' if nothing is."""
    if _size(image) == _size(mask):
        return ''
    stored = (image.width, image.height) if image.turned >= 5 else (image.height, image.width)
    why = ''
    if image.turned != mask.turned and stored == (mask.height, mask.width):
        why = (f'\nthe image is turned by its EXIF orientation ({image.turned}), the mask is not: turn the pixels of '
               'both alike and drop the tag')
    return (f'{sample.mask}: mask is {_size(mask)}, its image {sample.image} is {_size(image)} (height x width){why}')


def mask_values(source: Source, samples: Iterable[Sample]) -> set[int]:
    """Labels that occur in the samples' masks, files read and cached as in `check_samples`.

    Args:
      source: of which the number of classes need not be known yet: 255 names stand for all that may be.
      samples: with or without masks.

    Raises:
      InputError: a mask is missing, truncated, or no mask; or the masks have no one meaning.
    """
    paths = [('mask', s.mask) for s in samples if s.mask]
    info, errors = scan_files(paths, source.read_bytes, base=source.dir, cache_dir=source.cache_dir, stamp=source.stamp)
    _report(list(errors.values()), 'masks cannot be used')
    _report(list(source.masks.settle(source, info).values()), 'masks cannot be read in one way')
    return {label for mask in info.values() for label in labels_of(source, source.masks.reading, mask)}


def label_notes(source: Source, labeled: Iterable[Sample], table: SampleTable) -> list[str]:
    """Lines for the start of training: how masks are read, where not as plain numbers, and what no label shows."""
    labeled = list(labeled)
    notes = source.masks.notes(source) + surprises(source, labeled)
    seen = {c for sample in labeled for c in table[sample].classes}
    absent = [name for number, name in enumerate(source.classes) if number not in seen]
    if absent and labeled:
        shown = ', '.join(absent[:8]) + (', ...' if len(absent) > 8 else '')
        notes.append(f'WARNING: none of the {len(labeled)} labelled masks shows {len(absent)} of the '
                     f'{source.num_classes} classes, which can not be learned: {shown}')
    return notes


def _require_known_colors(source: Source, samples: list[Sample], info: dict) -> None:
    """Names the unknown colours of all colour masks, the most frequent first, with counts and a file each."""
    found: dict[int, list] = {}
    for mask in dict.fromkeys(s.mask for s in samples):
        for code, count in unknown_colors(source, source.masks.reading, info[mask]):
            entry = found.setdefault(code, [0, 0, mask])
            entry[0], entry[1] = entry[0] + count, entry[1] + 1
    if not found:
        return
    worst = sorted(found.items(), key=lambda item: -item[1][0])
    lines = '; '.join(f'{unpacked(code)}: {count} pixels in {masks} mask(s), e.g. {first}'
                      for code, (count, masks, first) in worst[:4])
    more = f'; and {len(worst) - 4} more' if len(worst) > 4 else ''
    raise InputError(f'masks hold colours that classes.txt does not list: {lines}{more}\n'
                     'valid: the colours of classes.txt; a line `255 void r g b` names one to ignore')


def _require_classes(source: Source, samples: list[Sample], info: dict) -> None:
    count = source.num_classes
    bad = {s.mask: v for s in samples if (v := unknown_values(source, source.masks.reading, info[s.mask]))}
    valid = f'valid: {valid_values(source)}; --config.data.label_map maps other values'
    _report([f'{path}: mask values {_some(values)} are outside the {count} classes\n{valid}'
             for path, values in bad.items()], 'masks hold values outside the classes')


def valid_values(source: Source) -> str:
    """Raw mask values that are a class or void, in words: '0..10 and 255 (ignore)'."""
    good = [v for v in range(IGNORE) if source.lookup[v] < source.num_classes or source.lookup[v] == IGNORE]
    return ranges(good) + (f' and {IGNORE} (ignore)' if source.lookup[IGNORE] == IGNORE else '')


def ranges(values: list[int]) -> str:
    """Ascending numbers in words: '4..6, 9'."""
    starts = [v for v in values if v - 1 not in values]
    ends = [v for v in values if v + 1 not in values]
    return ', '.join(str(a) if a == b else f'{a}..{b}' for a, b in zip(starts, ends))


def refuse_only_ignore(source: Source, samples: list[Sample], info: dict, *, cache_dir=_FROM_SOURCE) -> None:
    """Refuses a dataset of 0 and 255; a few masks, or one split, may well hold background and void alone."""
    cache = source.cache_dir if cache_dir is _FROM_SOURCE else cache_dir
    suspicious = {0, IGNORE}
    if source.masks.reading is None or source.masks.reading.colors:
        return
    seen = {value for s in samples for value in numbers_of(source, source.masks.reading, info[s.mask])}
    if IGNORE not in seen or not seen <= suspicious or source.lookup[IGNORE] != IGNORE:
        return
    others = {s.mask for split in source.splits.values() for s in split if s.mask} - info.keys()
    # Files among them that cannot be read are reported when they are asked for.
    paths = [('mask', mask) for mask in sorted(others)]
    found, _ = scan_files(paths, source.read_bytes, base=source.dir, cache_dir=cache, stamp=source.stamp)
    seen |= {value for mask in found.values() for value in numbers_of(source, source.masks.reading, mask)}
    if seen <= suspicious:
        count = len({s.mask for s in samples}) + len(found)
        raise InputError(
            f'{samples[0].mask}: this and all {count} masks of the dataset hold only the values '
            f'{", ".join(map(str, sorted(seen)))}, and 255 means ignore: one class would be left\n'
            f'if 255 is a class, set --config.data.label_map=0:0,255:1')


def _report(messages: list[str], what: str) -> None:
    """Raises the first message, with the number of its kind and two more of the files."""
    if not messages:
        return
    message = messages[0]
    if len(messages) > 1:
        others = ', '.join(m.split(': ')[0] for m in messages[1:3])
        message += f'\n{len(messages)} {what}; also {others}' + (', ...' if len(messages) > 3 else '')
    raise InputError(message)


def _size(info) -> str:
    return f'{info.height}x{info.width}'


def _some(values: list[int]) -> str:
    return ', '.join(map(str, values[:6])) + (', ...' if len(values) > 6 else '')
