"""Pretrained files that lie at hand: named by S4MIM_WEIGHTS, or beside the data."""

import os
from pathlib import Path
from typing import NamedTuple

from s4mim_jax.config.errors import InputError

VARIABLE, FOLDER = 'S4MIM_WEIGHTS', 'weights'
SUFFIXES = ('.safetensors', '.npz', '.pth', '.pt')


class Weights(NamedTuple):
    """A file. encoder: its network. settings: keys of config.model that it needs, as (key, value) pairs."""

    path: str
    encoder: str
    settings: tuple[tuple[str, object], ...]


def weights_at_hand(dataset: Path) -> tuple[Weights, ...]:
    """Files with an encoder of this project, in the order in which they were looked for, each once.

    Looked for: the file or folder S4MIM_WEIGHTS, then `weights/` in the dataset and beside it.
    """
    named = os.environ.get(VARIABLE)
    places = [*([Path(named).expanduser()] if named else []), dataset / FOLDER, dataset.resolve().parent / FOLDER]
    files = [path for place in places for path in ([place] if place.is_file() else sorted(place.glob('*')))
             if path.suffix in SUFFIXES]
    found = (_described(path) for path in dict.fromkeys(path.resolve() for path in files))
    return tuple(weights for weights in found if weights)


def _described(path: Path) -> Weights | None:
    from s4mim_jax.config import base
    from s4mim_jax.pretrained.contents import recognise
    from s4mim_jax.pretrained.description import model_of
    from s4mim_jax.pretrained.readers import read_weights
    try:
        contents = recognise(read_weights(str(path)))
        if contents.encoder is None:
            return None
        model, _ = model_of(contents, encoder_only=True)
    except InputError:
        return None  # not ours: fit goes on without it
    default = base().model
    settings = [(key, model[key]) for key in model if key not in ('encoder', 'decoder') and model[key] != default[key]]
    return Weights(str(path), model.encoder, tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in settings))
