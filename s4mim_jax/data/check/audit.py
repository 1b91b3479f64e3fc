"""The audit of a whole dataset: all that is wrong with it, where training's check stops at the first kind of error."""

import hashlib
import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.check.sample_checks import refuse_only_ignore, size_problem, valid_values
from s4mim_jax.data.files.images import decode_image
from s4mim_jax.data.files.mask_colors import unpacked
from s4mim_jax.data.files.scan import scan_files
from s4mim_jax.data.mask_reading import labels_of, unknown_colors, unknown_values, usable
from s4mim_jax.data.progress import Progress
from s4mim_jax.data.source import Sample, Source

Groups = dict[str, tuple[Sample, ...]]  # 'train', 'labeled', 'unlabeled', 'val', 'test'
KEPT_OUT = ('val', 'test')
TURNED, UNTURNED = 'the image is turned by EXIF, the mask perhaps not', 'the image is turned by EXIF, the mask is not'
LISTED = 20  # unknown colours of a mask that are named
WRONG = 254  # where values without a meaning are counted


class Finding(NamedTuple):
    """Something to look at. refused: training with this config ends with it."""

    kind: str
    where: str
    message: str
    refused: bool


@dataclass
class Group:
    """Counts over the samples of a group.

    Attributes:
      images, masks: their number. image_kinds, mask_kinds: see `ImageInfo` and `MaskInfo`. sizes: (H, W) -> images.
      pixels: int64 [C], of each class. shown: int [C], masks in which a class occurs.
      ignored: pixels of label 255; hidden: the transparent ones among them.
    """

    images: int = 0
    masks: int = 0
    sizes: Counter = field(default_factory=Counter)
    image_kinds: Counter = field(default_factory=Counter)
    mask_kinds: Counter = field(default_factory=Counter)
    pixels: np.ndarray | None = None
    shown: np.ndarray | None = None
    ignored: int = 0
    hidden: int = 0


@dataclass
class Audit:
    """groups: by name, in order. same: group -> the group that holds the very same samples."""

    groups: dict[str, Group]
    findings: list[Finding]
    same: dict[str, str]


def audit(source: Source, groups: Groups, needed: set[str], *, decode: bool = True) -> Audit:
    """Looks at every file of the groups.

    Args:
      source: the dataset.
      groups: samples by the group's name.
      needed: names of the groups that training reads; what is wrong elsewhere is told, not refused.
      decode: decode every image and mask. False: no class counts, no copies, and of images the header only.

    Returns:
      an Audit; findings are in the order of their kinds.
    """
    names = list(groups)
    firsts = {name: next(first for first in names if groups[first] == groups[name]) for name in names}
    same = {name: first for name, first in firsts.items() if name != first}
    samples = list(dict.fromkeys(s for group in groups.values() for s in group))
    used = {path for name in needed for s in groups.get(name, ()) for path in (s.image, s.mask) if path}
    info, errors = scan_files([('image', s.image) for s in samples] + [('mask', s.mask) for s in samples if s.mask],
                         source.read_bytes, base=source.dir, cache_dir=source.cache_dir, stamp=source.stamp,
                         pixels=source.pixels)
    digests = {}
    if decode:
        digests, broken = _decode(source, list({s.image for s in samples} & info.keys()))
        errors |= broken
    findings = [Finding('cannot be used', path, message, path in used) for path, message in errors.items()]
    masks = {s.mask: info[s.mask] for s in samples if s.mask in info}
    # What training reads decides what the numbers mean; the rest has to fit it.
    for part in ({path: f for path, f in masks.items() if path in used}, masks):
        findings += [Finding('cannot be used' if masks[path].form == 'color' and not usable(source.colors) else
                             'masks without one meaning', path, message, path in used)
                     for path, message in source.masks.settle(source, part).items()
                     if path not in {finding.where for finding in findings}]
    without = {finding.where for finding in findings}
    findings += _mask_findings(source, [s for s in samples if s.mask not in without], info, used)
    findings += _turned(samples, info, used)
    labeled = [s for name in needed for s in groups.get(name, ()) if s.mask in info]
    try:
        refuse_only_ignore(source, list(dict.fromkeys(labeled)), info)
    except InputError as error:
        findings.append(Finding('one class alone', source.dir, str(error), True))
    findings += _shared(groups, same) + _copies(groups, digests)
    counts = {name: _count(source, group, info, decode) for name, group in groups.items() if name not in same}
    findings += _class_findings(source, counts, same)
    return Audit(counts, findings, same)


def _decode(source, paths):
    """sha256 of images {path: digest}, and messages of what is broken {path: message}."""
    digests, errors = {}, {}

    def decode(path):
        try:
            data = source.read_bytes(path)
            decode_image(data, path, source.pixels)
            return hashlib.sha256(data).digest()
        except InputError as error:
            return error

    progress = Progress('decoding files', len(paths))
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        for path, found in zip(paths, pool.map(decode, paths)):
            if isinstance(found, InputError):
                errors[path] = str(found)
            else:
                digests[path] = found
            progress.count()
    finally:
        pool.shutdown(cancel_futures=True)
    return digests, errors


def _mask_findings(source, samples, info, used) -> list[Finding]:
    """Masks of another size than their image, of unknown colours, and of values outside the classes."""
    findings, reading = [], source.masks.reading
    for sample in samples:
        mask, image = info.get(sample.mask), info.get(sample.image)
        if mask and image and (message := size_problem(sample, image, mask)):
            kind = UNTURNED if 'EXIF' in message else 'another size than the image'
            findings.append(Finding(kind, sample.mask, message, sample.mask in used))
        if mask and (unknown := unknown_colors(source, reading, mask)):
            colors = ', '.join(f'{unpacked(code)} in {pixels} pixels' for code, pixels in unknown[:LISTED])
            findings.append(Finding('colours that classes.txt does not list', sample.mask,
                                    f'{sample.mask}: {colors}', sample.mask in used))
        if mask and (wrong := unknown_values(source, reading, mask)):
            findings.append(Finding('values outside the classes', sample.mask,
                                    f'{sample.mask}: values {", ".join(map(str, wrong))}; valid: '
                                    f'{valid_values(source)}', sample.mask in used))
    return sorted(findings, key=lambda finding: finding.kind)


def _turned(samples, info, used) -> list[Finding]:
    """Images that EXIF turns where nothing says that their mask is turned too, and the size does not tell."""
    findings = []
    for sample in samples:
        image, mask = info.get(sample.image), info.get(sample.mask)
        if image and mask and image.turned != mask.turned and (
                image.turned < 5 or image.height == image.width) and not size_problem(sample, image, mask):
            findings.append(Finding(TURNED, sample.mask, f'{sample.mask}: no orientation; its image {sample.image} is '
                                    f'turned by EXIF (orientation {image.turned}); see it in samples.png', False))
    return findings


def _shared(groups: Groups, same) -> list[Finding]:
    """Images that are trained on and held out, by path."""
    findings = []
    for held_out in [name for name in KEPT_OUT if name in groups and name not in same]:
        paths = {s.image for s in groups[held_out]}
        trained = {s.image: s for name, group in groups.items() if name not in KEPT_OUT for s in group}
        findings += [Finding(f'trained on and in {held_out}', path, f'{path}: is in {held_out} too', False)
                     for path in trained if path in paths]
    return findings


def _copies(groups: Groups, digests) -> list[Finding]:
    """Images of the same bytes under several names."""
    where = defaultdict(dict)
    for name, group in groups.items():
        for sample in group:
            if sample.image in digests:
                where[digests[sample.image]].setdefault(sample.image, []).append(name)
    findings = []
    for copies in where.values():
        if len(copies) > 1:
            text = ' = '.join(f'{path} ({", ".join(names)})' for path, names in copies.items())
            across = any(set(names) & set(KEPT_OUT) for names in copies.values()) and any(
                not set(names) & set(KEPT_OUT) for names in copies.values())
            findings.append(Finding('copies in training and held-out images' if across else 'copies of one image',
                                    next(iter(copies)), text, False))
    return sorted(findings, key=lambda finding: finding.kind)


def _count(source, group, info, pixels: bool) -> Group:
    counts, size = Group(images=len(group), masks=sum(s.mask is not None for s in group)), source.num_classes
    totals, shown = np.zeros(256, np.int64), np.zeros(256, np.int64)
    for sample in group:
        if image := info.get(sample.image):
            counts.sizes[image.height, image.width] += 1
            counts.image_kinds[image.kind] += 1
        if mask := info.get(sample.mask):
            counts.mask_kinds[mask.kind] += 1
            ids = [label if label >= 0 else WRONG for label in labels_of(source, source.masks.reading, mask)]
            np.add.at(totals, ids, mask.counts)
            shown[list(set(ids))] += 1
            totals[IGNORE] += mask.hidden
            counts.hidden += mask.hidden
    if pixels:
        counts.pixels, counts.shown, counts.ignored = totals[:size], shown[:size], int(totals[IGNORE])
    return counts


def _class_findings(source, counts: dict[str, Group], same) -> list[Finding]:
    """Classes that no label teaches or no score knows."""
    findings = []
    for name in ('labeled', *KEPT_OUT):
        group = None if same.get(name) in KEPT_OUT else counts.get(same.get(name, name))
        if group and group.masks and group.shown is not None and not group.shown.all():
            absent = [source.classes[c] for c in np.flatnonzero(group.shown == 0)]
            findings.append(Finding('classes without a pixel', name, f'{name}: {", ".join(absent)}', False))
    return findings
