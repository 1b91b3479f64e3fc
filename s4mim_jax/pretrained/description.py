"""What a weights file holds, in lines for a reader; and the config.model that it is of."""

import math
from collections import Counter

from s4mim_jax import models
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.pretrained.contents import Contents
from s4mim_jax.pretrained.matching import fit, left_out, listed
from s4mim_jax.pretrained.parts import wanted

_UNSTATED_CLASSES = 2  # of a decoder whose file lacks the last layer


def model_of(contents: Contents, encoder: str | None = None, encoder_only: bool = False):
    """(config.model, classes) with the encoder and decoder of a file and what their arrays need.

    Args:
      encoder: None = the file's.

    Raises:
      InputError: an encoder that this project does not have.
    """
    config = base().model
    found = contents.encoder.found if contents.encoder else None
    if encoder is None and found and found.network not in models.ENCODERS:
        raise InputError(f'weights file {contents.weights.path} looks like {found.network}, which is not built here\n'
                         f'valid: {", ".join(models.ENCODERS)}')
    config.encoder = encoder or (found.network if found else config.encoder)
    parts = [contents.encoder] if found and config.encoder == found.network else []
    classes = _UNSTATED_CLASSES
    if contents.decoder and not encoder_only:
        config.decoder = contents.decoder.found.network
        classes = contents.decoder.found.classes or classes
        parts.append(contents.decoder)
    for part in parts:
        config.update(part.found.settings)
    if contents.has_batch_norm:
        config.padding = contents.padding or config.padding
    return config, classes


def describe(contents: Contents) -> list[str]:
    """Lines of `name  value`: format, entries, parts, settings, counts, names that have no use, and whether it fits."""
    weights, lines = contents.weights, []

    def tell(name, value):
        lines.append(f'{name:<12} {value}')

    tell('file', weights.path)
    if weights.entries:
        tell('entries', ', '.join(f'{name} ({count} arrays{", taken" if name == weights.entry else ""})'
                                  for name, count in weights.entries.items()))
    for name in ('encoder', 'decoder'):
        part = getattr(contents, name)
        if part:
            tell(name, f'{contents.name_of(name).removeprefix(name + " ")}, names as in {part.scheme.origin}'
                 + (f', below {part.prefix}' if part.prefix else ''))
        else:
            tell(name, 'none that is known')
    kinds = Counter(str(array.dtype) for array in weights.arrays.values())
    tell('arrays', f'{len(weights.arrays)}: {", ".join(f"{count} {kind}" for kind, count in kinds.items())}; '
                   f'{sum(a.size for a in weights.arrays.values()):,} values')
    if contents.encoder is None:
        return lines + listed('names', list(weights.arrays))
    if contents.has_batch_norm:
        tell('padding', contents.padding or 'not stated')
        tell('epsilon', f'{contents.epsilon:g}')
    return lines + _fit_lines(contents, tell)


def _fit_lines(contents, tell):
    try:
        config, classes = model_of(contents)
        plan = wanted(contents, config, classes)
    except InputError as error:
        tell('fits', f'no: {error}')
        return []
    default, parts = base().model, [part for part in (contents.encoder, contents.decoder) if part]
    keys = ['encoder', 'padding', *(['decoder'] if contents.decoder else []),
            *(key for part in parts for key in part.found.settings)]
    told = [f'--config.model.{key}={config[key]}'.replace(' ', '') for key in keys if config[key] != default[key]]
    habits = {key: value for part in parts for key, value in part.found.habits.items()}
    tell('model', ' '.join(told) or 'the default')
    if habits:
        tell('its own code', ' '.join(f'--config.model.{key}={value}' for key, value in habits.items()))
    leaves = [(path, shape) for path, shape in plan.shapes.items() if path.startswith('params/')]
    for part in plan.parts:
        count = sum(math.prod(shape) for path, shape in leaves if path.split('/')[1] == part)
        tell('parameters', f'{count:,} in the {part}')
    aside = [name for name in contents.weights.arrays if left_out(contents, name, plan.parts)]
    counters = [name for name in aside if name.endswith('num_batches_tracked')]
    rest = [name for name in aside if name not in counters]
    if counters:
        tell('left out', f'{len(counters)} step counters of BatchNorm')
    try:
        notes = fit(contents, plan).notes
    except InputError as error:
        tell('fits', f'no: {error}')
    else:
        tell('fits', '; '.join(['yes', *notes]))
    return listed('left out', rest) if rest else []
