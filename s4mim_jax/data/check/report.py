"""What the scan found, as JSON and as text."""

import os
import re
from collections import defaultdict

from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.check.audit import Audit, Group
from s4mim_jax.data.check.sample_checks import ranges
from s4mim_jax.data.source import Source

LISTED = 50  # different findings of a kind that the text lists; check.json has them all
NAMED = 3  # files of findings that are alike


def summary(source: Source, config, split, found: Audit) -> dict:
    """The JSON: dataset, split, groups, findings, and how many of them training refuses.

    Args:
      source, config: the dataset and the whole config. split: a `Split`, or None if there is none.
      found: of the scan.
    """
    refused = sum(finding.refused for finding in found.findings)
    return {
        'dataset': source.name, 'dir': source.dir, 'classes': list(source.classes), 'mask_values': _values(source),
        'split': {'name': config.data.split, 'hash': split.hash if split else None},
        'evaluated_on': config.eval.split,
        'groups': {name: _group(group, source) for name, group in found.groups.items()},
        'same': found.same,
        'masks_read_as': source.masks.record(source)['read_as'],
        'findings': [finding._asdict() for finding in found.findings],
        'refused': refused,
    }


def _values(source: Source) -> dict[str, str]:
    """What the numbers in masks mean; all others are refused."""
    lookup = source.lookup.tolist()
    return {'classes': ranges([v for v in range(256) if lookup[v] < source.num_classes]),
            'ignored': ranges([v for v in range(256) if lookup[v] == IGNORE])}


def _group(group: Group, source: Source) -> dict:
    result = {'images': group.images, 'masks': group.masks,
              'sizes': {f'{h}x{w}': n for (h, w), n in group.sizes.most_common()},
              'image_kinds': dict(group.image_kinds), 'mask_kinds': dict(group.mask_kinds)}
    if group.pixels is not None:
        total = int(group.pixels.sum()) + group.ignored
        result |= {'pixels': dict(zip(source.classes, group.pixels.tolist())), 'ignored_pixels': group.ignored,
                   'share': dict(zip(source.classes, (group.pixels / max(total, 1)).round(6).tolist())),
                   'masks_with': dict(zip(source.classes, group.shown.tolist()))}
    return result


def as_text(source: Source, result: dict) -> str:
    """The summary for people: groups, classes, findings, verdict."""
    lines = [f'{result["dataset"]} in {result["dir"]}: {source.num_classes} classes, split {result["split"]["name"]}, '
             f'evaluated on {result["evaluated_on"]}',
             'mask values: {classes} are classes, {ignored} ignored'.format(**result['mask_values']),
             *source.notes, *source.masks.notes(source), '']
    lines += _table([('', 'images', 'masks', 'height x width', 'image files', 'mask files'),
                     *(_files(name, group) for name, group in result['groups'].items())])
    lines += [f'{name}: the same images as {first}' for name, first in result['same'].items()]
    counted = {n: g for n, g in result['groups'].items() if g['masks'] and 'share' in g}
    if counted:
        lines += ['', '% of the pixels (masks that show the class)']
        lines += _table([('', *counted), *((f'{i} {name}', *(_share(g, name) for g in counted.values()))
                                           for i, name in enumerate(source.classes)),
                         ('ignore', *(_ignored(g) for g in counted.values()))])
    kinds = defaultdict(list)
    for finding in result['findings']:
        kinds[finding['kind'], finding['refused']].append(finding)
    for (kind, refused), findings in kinds.items():
        lines += ['', f'{kind}: {len(findings)}{", refused by training" if refused else ""}']
        groups = _alike(findings, result['dir'])
        for first, *others in groups[:LISTED]:
            lines.append('  ' + first['message'].replace('\n', '\n    '))
            if others:
                names = ', '.join(os.path.basename(f['where']) for f in others[:NAMED])
                lines.append(f'    the same of {len(others)} more: {names}' + ', ...' * (len(others) > NAMED))
        rest = sum(map(len, groups[LISTED:]))
        lines += [f'  and {rest} more, all in check.json (--output)'] * (rest > 0)
    lines += ['', f'{result["refused"]} problems: training would refuse this dataset' if result['refused']
              else 'training can start']
    return '\n'.join(lines)


def _alike(findings: list[dict], folder: str) -> list[list[dict]]:
    """Findings whose messages differ in the files that they name, and in nothing else."""
    groups = defaultdict(list)
    for finding in findings:
        text = finding['message'].replace(finding['where'], '...')
        groups[re.sub(re.escape(folder) + r'[^\s:,]*', '...', text)].append(finding)
    return list(groups.values())


def _files(name: str, group: dict) -> tuple[str, ...]:
    def kinds(counts):
        return ', '.join(f'{n} {kind}' for kind, n in counts.items()) or '-'
    sizes = list(group['sizes'])
    size = sizes[0] if len(sizes) == 1 else f'{len(sizes)} sizes, mostly {sizes[0]}' if sizes else '-'
    return (name, str(group['images']), str(group['masks']), size, kinds(group['image_kinds']),
            kinds(group['mask_kinds']))


def _share(group: dict, name: str) -> str:
    return f'{100 * group["share"][name]:.2f} ({group["masks_with"][name]})'


def _ignored(group: dict) -> str:
    total = sum(group['pixels'].values()) + group['ignored_pixels']
    return f'{100 * group["ignored_pixels"] / max(total, 1):.2f}'


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns two spaces apart, the first one to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ['  '.join([rows_[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(rows_[1:], widths[1:]))]).rstrip()
            for rows_ in rows]
