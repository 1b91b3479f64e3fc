"""Fits the arrays of a file to the leaves of an encoder and names everything that does not fit."""

import re

import numpy as np

from s4mim_jax.errors import InputError
from s4mim_jax.pretrained import names
from s4mim_jax.pretrained.readers import Weights

FORMAT = 's4mim_jax encoder'  # metadata['format'] of files that import_weights writes
PADDINGS = {'same': 'same', 'tf_same': 'same', 'symmetric': 'symmetric'}
WIDTH = 110  # of the lines of names in a message


def is_ours(weights: Weights) -> bool:
    """True for a file of import_weights: leaves under their own paths."""
    return weights.metadata.get('format') == FORMAT


def padding_of(weights: Weights) -> str | None:
    """'same' or 'symmetric' where the file's metadata says it."""
    return PADDINGS.get(weights.metadata.get('padding', ''))


def architecture_of(weights: Weights) -> tuple[str | None, str | None]:
    """(encoder, stem) of a file, from its metadata or from its names; None where unknown."""
    if is_ours(weights):
        return weights.metadata.get('encoder'), weights.metadata.get('stem')
    return names.looks_like(weights.arrays)


def match(weights: Weights, shapes: dict[str, tuple[int, ...]], encoder: str, stem: str,
          allow_missing: str | None = None) -> dict[str, np.ndarray]:
    """Leaf path -> float32 array for every leaf of the encoder that the file has.

    Args:
      weights: a file in torchvision's names or one that import_weights wrote.
      shapes: leaf path -> shape of every leaf of the encoder ('params/encoder/..', 'batch_stats/..').
      encoder, stem: what the shapes belong to; for messages and names.
      allow_missing: regular expression; leaves that it finds in the file's name or in our path may
        be missing. A file of import_weights brings the leaves that were missing then.

    Raises:
      InputError: another architecture, or names of missing, unexpected, mis-shaped or non-finite arrays.
    """
    if encoder == 'unet':  # no published encoder weights, so no names to look for
        raise InputError(f'weights file {weights.path}: encoder unet is trained from scratch and takes no weights\n'
                         'valid: --config.model.pretrained=None, or another encoder')
    found, found_stem = architecture_of(weights)
    if found not in (None, encoder):
        raise InputError(f'weights file {weights.path} looks like {found}, not like encoder {encoder}')
    if found_stem not in (None, stem) and encoder.startswith('resnet'):
        raise InputError(f'weights file {weights.path} has the {found_stem} stem, the model the {stem} stem\n'
                         f'for these weights: --config.model.stem={found_stem}')
    ours = is_ours(weights)
    source = {path: path if ours else names.torchvision_name(path, stem) for path in shapes}
    skipped = set(weights.metadata.get('missing', '').split()) if ours else set()
    pattern = re.compile(allow_missing) if allow_missing else None

    matched, missing, misshaped, broken = {}, [], [], []
    for path, shape in shapes.items():
        name = source[path]
        if name not in weights.arrays:
            if path not in skipped and not (pattern and (pattern.search(name) or pattern.search(path))):
                missing.append(name)
            continue
        array = weights.arrays[name] if ours else names.to_our_layout(weights.arrays[name])
        if array.shape != shape:
            misshaped.append(f'{name} {list(weights.arrays[name].shape)}, expected '
                             f'{list(shape if ours else _their_shape(shape))}')
        elif not np.isfinite(array).all():
            broken.append(name)
        else:
            matched[path] = np.ascontiguousarray(array, np.float32)
    expected = set(source.values())
    unexpected = [n for n in weights.arrays if n not in expected and not names.IGNORABLE.search(n)]
    groups = {'missing': missing, 'unexpected': unexpected, 'mis-shaped': misshaped, 'not finite': broken}
    counts = ', '.join(f'{len(found)} {title}' for title, found in groups.items() if found)
    if counts:
        lines = [line for title, found in groups.items() if found for line in _listed(title, found)]
        raise InputError('\n'.join([f'weights file {weights.path} does not fit {encoder}: {counts}', *lines]))
    return matched


def _their_shape(shape):
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape


def _listed(title: str, found: list[str]) -> list[str]:
    """`title:` and all names, in lines that break between names only."""
    lines = [f'{title}:']
    for name, end in zip(found, [','] * (len(found) - 1) + ['']):
        if len(lines[-1]) + len(name) + 2 > WIDTH:
            lines.append(' ')
        lines[-1] += f' {name}{end}'
    return lines
