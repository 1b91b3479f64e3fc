"""Which training samples are labelled and which are not: `config.data.split`."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.check import check_samples
from s4mim_jax.data.files.left_out import NOT_FOUND
from s4mim_jax.data.files.listing import file_key
from s4mim_jax.data.source import Sample, Source
from s4mim_jax.data.split_files import find_lists, read_list


@dataclass(frozen=True)
class Split:
    """Training samples, each list in order of id.

    Attributes:
      name: as asked for, e.g. '1_16', 'seeded:1/8'.
      labeled: samples that all have a mask.
      unlabeled: samples whose masks, if there are any, serve monitoring only.
      hash: sha256 (hex) of the two sets of ids; the same wherever the dataset lies, and whatever
        the order of the lists.
    """

    name: str
    labeled: tuple[Sample, ...]
    unlabeled: tuple[Sample, ...]
    hash: str


def training_split(source: Source, spec: str, seed: int) -> Split:
    """Splits the training samples.

    Args:
      source: the dataset.
      spec: 'all' (all masks are used, all training images are the unlabelled ones too), 'seeded:1/8'
        (a fraction of the masks, see `seeded_order`; the others are unlabelled), or the NAME of a
        list, see `split_files`. Without an unlabelled list, the rest of the training samples.
      seed: of 'seeded:...'.

    Raises:
      InputError: unknown name, fraction that is none, empty list, a line with no image or mask, or
        an id that is both labelled and unlabelled.
    """
    train = source.splits['train']
    with_mask = [sample for sample in train if sample.mask]
    fraction = _fraction(spec) if spec.startswith('seeded:') else Fraction(1)
    if spec.startswith('seeded:') or spec == 'all':
        if not with_mask:
            raise InputError(f'--config.data.split={spec}: none of the {len(train)} training images in '
                             f'{source.dir} has a mask\nvalid: at least one labelled image')
        if fraction == 1:
            return _split(spec, with_mask, train)
        count = max(1, int(len(with_mask) * fraction + Fraction(1, 2)))
        labeled = seeded_order(source, with_mask, seed)[:count]
        chosen = set(labeled)
        return _split(spec, labeled, [sample for sample in train if sample not in chosen])
    labeled_path, unlabeled_path = find_lists(source, spec)
    labeled = read_list(labeled_path, source, labeled=True)
    images = {file_key(sample.image) for sample in labeled}
    if unlabeled_path is None:
        return _split(spec, labeled, [sample for sample in train if file_key(sample.image) not in images])
    unlabeled = read_list(unlabeled_path, source, labeled=False)
    both = [sample.id for sample in unlabeled if file_key(sample.image) in images]
    if both:
        raise InputError(f'{unlabeled_path}: {len(both)} ids are in {labeled_path.name} too, '
                         f'e.g. {both[0]!r}\nvalid: every id in one of the two lists')
    return _split(spec, labeled, unlabeled)


def evaluation_split(source: Source, name: str) -> tuple[Sample, ...]:
    """Samples to score: all of split `name`, which must all have masks.

    Raises:
      InputError: no such split, or images without a mask in it.
    """
    if not source.splits.get(name):
        raise InputError(f'split {name!r}: not in {source.dir}, or empty\n'
                         f'valid: {", ".join(split for split in source.splits)}')
    samples = source.splits[name]
    bare = [sample for sample in samples if sample.mask is None]
    if bare:
        folder = os.path.dirname(bare[0].image)
        near = next((entry.example.partition('(')[2].removesuffix(')') for entry in source.left_out
                     if entry.what == NOT_FOUND and (entry.where == folder or folder.startswith(entry.where + os.sep))),
                    '')
        raise InputError(f'split {name!r}: {len(bare)} of {len(samples)} images have no mask, e.g. '
                         f'{bare[0].image}{"; " + near if near else ""}\n'
                         'valid: a mask for every image that is scored')
    return samples


def seeded_order(source: Source, samples: Iterable[Sample], seed: int) -> list[Sample]:
    """Samples in an order whose every beginning is a labelled set (ours).

    First come images that together show every class that any mask shows, chosen greedily (most new
    classes first), so that short beginnings cover the classes too; then all others. Ties and the
    rest follow sha256 of seed and id: the order depends on no library's generator, and an image
    added to the dataset leaves that of the others as it is.

    Raises:
      InputError: what `check_samples` finds wrong with the files.
    """
    def rank(sample):
        return hashlib.sha256(os.fsencode(f'{seed}:{sample.id}')).digest()

    rest = sorted(samples, key=rank)
    table = check_samples(source, rest)
    classes = {sample: frozenset(table[sample].classes) for sample in rest}
    missing = set().union(*classes.values())
    cover = []
    while missing:
        best = max(rest, key=lambda sample: len(classes[sample] & missing))  # the first of equals
        cover.append(best)
        missing -= classes[best]
    chosen = set(cover)
    return cover + [sample for sample in rest if sample not in chosen]


def _fraction(spec: str) -> Fraction:
    text = spec.removeprefix('seeded:')
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 0 < value <= 1:
        raise InputError(f'--config.data.split={spec}: {text!r} is no fraction of the labels\n'
                         f'valid: more than 0 and at most 1, e.g. seeded:1/8 or seeded:0.125')
    return value


def _split(name: str, labeled: Iterable[Sample], unlabeled: Iterable[Sample]) -> Split:
    parts = [sorted(samples, key=lambda sample: sample.id) for samples in (labeled, unlabeled)]
    lines = [f'{kind} {sample.id}\n' for kind, samples in zip(('labeled', 'unlabeled'), parts)
             for sample in samples]
    digest = hashlib.sha256(os.fsencode(''.join(lines))).hexdigest()
    return Split(name, tuple(parts[0]), tuple(parts[1]), digest)
