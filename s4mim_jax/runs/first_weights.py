"""The weights that a run begins with decide a part of its config: a stem, a padding, a width."""

import os
from collections.abc import Collection

import jax

from s4mim_jax.pretrained.take_over import KEYS, take_over
from s4mim_jax.runs import run_folder, storage


def adapt(config, workdir, fixed: Collection[str] = ()) -> None:
    """Sets keys of `config.model` to what `config.model.pretrained` is of, and says so.

    A run that goes on takes them from its own folder: the weights need not be there any more.

    Args:
      config: changed in place. workdir: of the run. fixed: dotted keys that the user has set, which stay.

    Raises:
      InputError: weights that cannot be read.
    """
    source = config.model.pretrained
    if not source:
        return
    if (storage.locate(workdir) / 'config.json').exists():
        stored = run_folder.read_config(workdir).model
        if stored.pretrained == source and stored.encoder == config.model.encoder:
            _copy(config, stored, fixed)
        return
    lines = _of_run(config, source, fixed) if os.path.isdir(source) else take_over(config, fixed)
    if jax.process_index() == 0:
        for line in lines:
            print(line, flush=True)


def _of_run(config, source, fixed) -> list[str]:
    """A run of the same encoder and decoder brings what its arrays were made for."""
    stored = run_folder.read_config(source).model
    if (stored.encoder, stored.decoder) != (config.model.encoder, config.model.decoder):
        return []
    return [f'{source}: model.{key}={config.model[key]}, as that run has it (the config had {before})'
            for key, before in _copy(config, stored, fixed)]


def _copy(config, stored, fixed) -> list[tuple]:
    """(key, value before) of the keys that changed."""
    changed = []
    for key in KEYS:
        if stored[key] != config.model[key] and f'model.{key}' not in fixed:
            changed.append((key, config.model[key]))
            config.model[key] = stored[key]
    return changed
