"""What weights say of their network, taken over into the config: a stem, a padding, registers, a width.

`--config.model.pretrained=FILE` then needs no further key. A key that the user has set is the user's: where it
contradicts the file, `import_variables` refuses the file and names the key.
"""

import os
from collections.abc import Collection

from s4mim_jax.config.errors import InputError
from s4mim_jax.pretrained.contents import Contents, in_effect, recognise
from s4mim_jax.pretrained.hub import local_file
from s4mim_jax.pretrained.readers import read_weights

# Keys of config.model that decide which arrays a network has, or how it reads them.
KEYS = ('stem', 'padding', 'norm', 'width', 'registers', 'positions', 'vit_depth', 'vit_width', 'vit_heads',
        'decoder_width', 'low_level_width', 'aspp_rates', 'unet_widths', 'dpt_features', 'dpt_channels')


def take_over(config, fixed: Collection[str] = ()) -> list[str]:
    """Sets keys of `config.model` to what the weights file `config.model.pretrained` is of.

    Args:
      config: a whole config; changed in place, for files that fit its encoder. Folders of runs are left alone.
      fixed: dotted keys that the user has set, which stay.

    Returns:
      a line a key: what was set, what it was before, and that the file says so.

    Raises:
      InputError: a file that cannot be read, or a name of the hub that leads to none.
    """
    source = config.model.pretrained
    if not source or os.path.isdir(source):
        return []
    contents = recognise(read_weights(local_file(source)))
    lines = []
    for key, value in _said(contents, config.model).items():
        before = in_effect(config.model, key)
        if before == value or f'model.{key}' in fixed:
            continue
        try:
            config.model[key] = value
        except (TypeError, ValueError) as error:
            raise InputError(f'{source}: its {key}={value!r} is no value of config.model.{key} ({error})') from None
        lines.append(f'{source}: model.{key}={_text(value)}, as the file says (the config had {_text(before)})')
    return lines


def _said(contents: Contents, model_config) -> dict:
    """key -> value, of the parts of a file that this model can take."""
    encoder, decoder = contents.encoder, contents.decoder
    if encoder is None or encoder.found.network != model_config.encoder or encoder.found.refusal:
        return {}
    said = {**encoder.found.settings, **encoder.found.habits}
    if decoder and decoder.found.network == model_config.decoder:
        said |= {**decoder.found.settings, **decoder.found.habits}
    if contents.has_batch_norm:
        said['norm'] = 'batch'
        if contents.padding:
            said['padding'] = contents.padding
    return {key: value for key, value in said.items() if key in KEYS or key == 'align_corners'}


def _text(value) -> str:
    return f"({','.join(map(str, value))})" if isinstance(value, tuple) else str(value)
