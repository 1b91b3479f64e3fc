"""Fits the arrays of a file to the leaves of a network and names everything that does not fit."""

import dataclasses
import re

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.models.norm import EPSILON
from s4mim_jax.pretrained.contents import Contents
from s4mim_jax.pretrained.parts import Wanted

WIDTH = 110  # of the lines of names in a message


@dataclasses.dataclass(frozen=True)
class Fitted:
    """arrays: leaf path -> float32 array. missing: leaves without one, as allowed. notes: what was changed."""

    arrays: dict[str, np.ndarray]
    missing: tuple[str, ...]
    notes: tuple[str, ...]


def fit(contents: Contents, wanted: Wanted, allow_missing: str | None = None) -> Fitted:
    """Arrays for the leaves that are wanted.

    Args:
      contents: a recognised file. wanted: the leaves, from `parts.wanted`.
      allow_missing: regular expression; leaves that it finds in the file's name or in our path may
        be missing. A file of import_weights brings the leaves that were missing then.

    Raises:
      InputError: names of missing, unexpected, mis-shaped or non-finite arrays.
    """
    weights = contents.weights
    pattern = re.compile(allow_missing) if allow_missing else None
    skipped = set(weights.metadata.get('missing', '').split())
    arrays, used, left, notes = {}, set(), [], []
    missing, misshaped, broken = [], [], []
    for path, shape in wanted.shapes.items():
        names, layout = getattr(contents, path.split('/')[1]).source(path)
        if not names:
            arrays[path] = np.zeros(shape, np.float32)
            continue
        used.update(names)
        absent = [name for name in names if name not in weights.arrays]
        if absent:
            left.append(path)
            if path not in skipped and not (pattern and any(pattern.search(n) for n in (*absent, path))):
                missing += absent
            continue
        piece = (*shape[:-1], shape[-1] // len(names))
        pieces = [layout.ours(weights.arrays[name], piece) for name in names]
        wrong = [name for name, array in zip(names, pieces) if array.shape != piece]
        misshaped += [f'{name} {list(weights.arrays[name].shape)}, expected {list(layout.theirs(piece))}'
                      for name in wrong]
        broken += [name for name, array in zip(names, pieces) if name not in wrong and not np.isfinite(array).all()]
        if not wrong:
            array = np.asarray(pieces[0] if len(pieces) == 1 else np.concatenate(pieces, -1), np.float32)
            arrays[path] = np.ascontiguousarray(_at_our_epsilon(path, array, contents))
            notes += [note for name in names if (note := layout.changed(weights.arrays[name], piece))]
    if contents.has_batch_norm and contents.epsilon != EPSILON:
        notes.append(f'BatchNorm epsilon {contents.epsilon:g} made {EPSILON:g} by adding the difference to the '
                     'variances')
    used.update(name for path in wanted.known for name in getattr(contents, path.split('/')[1]).source(path).names)
    unexpected = [name for name in weights.arrays if name not in used and not left_out(contents, name, wanted.parts)]
    groups = {'missing': missing, 'unexpected': unexpected, 'mis-shaped': misshaped, 'not finite': broken}
    counts = ', '.join(f'{len(found)} {title}' for title, found in groups.items() if found)
    if counts:
        lines = [line for title, found in groups.items() if found for line in listed(title, found)]
        what = ' with '.join(getattr(contents, part).found.network for part in wanted.parts)
        raise InputError('\n'.join([f'weights file {weights.path} does not fit {what}: {counts}', *lines]))
    return Fitted(arrays, tuple(left), tuple(notes))


def _at_our_epsilon(path, array, contents):
    # scale / sqrt(var + e) stays the same function in evaluation; in training batches bring their own variance.
    return array + np.float32(contents.epsilon - EPSILON) if path.endswith('/norm/var') else array


def left_out(contents: Contents, name: str, parts: tuple[str, ...]) -> bool:
    """Whether a name may stay unused: counters, a classifier of images, a decoder that is not wanted."""
    encoder, decoder = contents.encoder, contents.decoder
    if encoder.leaves_out(name) or (decoder and decoder.leaves_out(name)):
        return True
    if decoder:
        return 'decoder' not in parts and decoder.has(name)
    # What stands beside a prefixed encoder is a head for some other work.
    return bool(encoder.prefix) and not name.startswith(encoder.prefix)


def listed(title: str, found: list[str]) -> list[str]:
    """`title:` and all names, in lines that break between names only."""
    lines = [f'{title}:']
    for name, end in zip(found, [','] * (len(found) - 1) + ['']):
        if len(lines[-1]) + len(name) + 2 > WIDTH:
            lines.append(' ')
        lines[-1] += f' {name}{end}'
    return lines
