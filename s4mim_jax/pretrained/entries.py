"""Training checkpoints hold several networks; which one is meant, and its names without wrappers' prefixes."""

import re
from pathlib import Path

import numpy as np

from s4mim_jax.config.errors import InputError

# Keys under which training scripts save, the first one found is taken: averaged weights before trained ones.
AVERAGED = ('model_ema', 'ema_model', 'state_dict_ema', 'ema', 'teacher')
TRAINED = ('model', 'state_dict', 'model_state_dict', 'student', 'network', 'net')
WRAPPERS = ('module.', '_orig_mod.')  # of torch's DistributedDataParallel and torch.compile


def choose(path: Path, tree: dict, entry: str | None) -> tuple[dict[str, np.ndarray], str | None, dict[str, int]]:
    """Arrays by name of one entry of a file, the entry's name, and all entries with their number of arrays.

    Args:
      path: for messages.
      tree: name -> array, or entry -> such a dict (also one more deep); anything else is no weight. An entry may be
        part of the names instead, as `model_ema.backbone.conv1.weight`.
      entry: None = the first of AVERAGED and TRAINED that is there, or the only one.

    Raises:
      InputError: no arrays, no such entry, or several of unknown meaning.
    """
    entries = _entries(tree)
    counts = {name: len(arrays) for name, arrays in entries.items() if name}
    if entry is not None and entry not in counts:
        raise InputError(f'weights file {path} has no entry {entry!r}\n'
                         f'valid: {", ".join(counts) or "none, it is one network: leave --entry out"}')
    if not entries:
        raise InputError(f'weights file {path} holds no arrays')
    meant = (*AVERAGED, *TRAINED, '')
    known = [name for name in meant if name in entries] or list(entries)
    if entry is None and known[0] not in meant and len(known) > 1:
        raise InputError(f'weights file {path} has several entries: {", ".join(known)}\nname one: --entry=NAME')
    chosen = known[0] if entry is None else entry
    return _without_wrappers(entries[chosen]), chosen or None, counts


def _entries(tree, outer=''):
    """Entry name ('' for arrays at the top) -> arrays."""
    arrays = {name: value for name, value in tree.items() if isinstance(value, np.ndarray)}
    grouped = {}
    for name, array in arrays.items():
        head, _, rest = name.partition('.')
        grouped.setdefault(head if head in AVERAGED + TRAINED and rest else '', {})[rest] = array
    found = {outer: arrays} if arrays else {}
    if arrays and '' not in grouped:  # every name begins with an entry's
        found = grouped
    for name, value in tree.items():
        if isinstance(value, dict) and not re.search('optim|sched|scaler', name):
            found = _entries(value, name) | found
    return found


def _without_wrappers(arrays):
    for wrapper in WRAPPERS * 2:
        if all(name.startswith(wrapper) for name in arrays):
            arrays = {name.removeprefix(wrapper): array for name, array in arrays.items()}
    return arrays
