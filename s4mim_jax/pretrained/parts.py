"""Which leaves of a model a file can bring, and whether it is of that model at all."""

from typing import NamedTuple

from s4mim_jax import models
from s4mim_jax.config.errors import InputError
from s4mim_jax.models.initial import leaf_shapes
from s4mim_jax.pretrained.contents import Contents, in_effect


class Wanted(NamedTuple):
    """shapes: leaf path ('params/encoder/..', 'batch_stats/decoder/..') -> shape. known: paths of the same
    parts that are not wanted. parts: 'encoder', or both. told: a line for the reader."""

    shapes: dict[str, tuple[int, ...]]
    known: tuple[str, ...]
    parts: tuple[str, ...]
    told: str


def wanted(contents: Contents, model_config, num_classes: int, encoder_only: bool | str = False) -> Wanted:
    """What a file can bring to `models.build(model_config, num_classes)`.

    Encoder and decoder where the model has the file's decoder, without the last layer where the classes are
    others; else the encoder. encoder_only: leave the decoder behind; a text says why.

    Raises:
      InputError: the file is of another network, see `check`.
    """
    decoder = contents.decoder.found if contents.decoder else None
    whole = decoder is not None and decoder.network == model_config.decoder and not encoder_only
    parts = ('encoder', 'decoder') if whole else ('encoder',)
    check(contents, model_config, parts)
    shapes = leaf_shapes(models.build(model_config, num_classes))
    shapes = {path: shape for path, shape in shapes.items() if path.split('/')[1] in parts}
    told = f'entry {contents.weights.entry}: ' if contents.weights.entry else ''
    told += contents.name_of('encoder')
    unsaid = ''
    if contents.has_batch_norm and contents.padding is None and model_config.padding == 'same':
        unsaid = '; its padding is not stated: networks of PyTorch have symmetric, config.model.padding is same'
    if not whole:
        reason = encoder_only or f'the model has decoder {model_config.decoder}'
        reason = 'as asked' if reason is True else reason
        return Wanted(shapes, (), parts, f'{told} taken' + (
            f'; its {contents.name_of("decoder")} is not: {reason}' if decoder else '') + unsaid)
    told += f' and {contents.name_of("decoder")} taken'
    known = ()
    if decoder.classes != num_classes and decoder.classes is not None:
        # The last layer is what depends on the number of classes.
        other = leaf_shapes(models.build(model_config, decoder.classes))
        known = tuple(path for path, shape in shapes.items() if other[path] != shape)
        told += f', but for the last layer: {num_classes} classes are wanted'
    habits = {**contents.encoder.found.habits, **decoder.habits}
    differ = ', '.join(f'{key}={value}' for key, value in habits.items() if in_effect(model_config, key) != value)
    return Wanted({path: shape for path, shape in shapes.items() if path not in known}, known, parts,
                  told + (f'; its own code has {differ}, config.model has not' if differ else '') + unsaid)


def misfit(contents: Contents, model_config) -> str | None:
    """Why the decoder of one of the package's own files does not fit a model with a decoder of that kind, in words.

    None where it fits, or is of another kind. The file's names are our own paths, so shapes compare directly.
    """
    decoder = contents.decoder.found if contents.decoder else None
    if decoder is None or decoder.network != model_config.decoder:
        return None
    shapes = leaf_shapes(models.build(model_config, decoder.classes))
    if all(contents.weights.arrays[path].shape == shape for path, shape in shapes.items()
           if path.split('/')[1] == 'decoder' and path in contents.weights.arrays):
        return None
    return 'at this output_stride, or with these widths, its layers have other shapes'


def check(contents: Contents, model_config, parts: tuple[str, ...]) -> None:
    """Raises InputError where a file is not of the network that config.model describes, in the parts wanted."""
    path, encoder = contents.weights.path, model_config.encoder
    if encoder == 'unet':  # no published encoder weights, so no names to look for
        raise InputError(f'weights file {path}: encoder unet is trained from scratch and takes no weights\n'
                         'valid: --config.model.pretrained=None, or another encoder')
    if contents.encoder is None:
        raise InputError(f'weights file {path} is in no naming scheme known here, its names begin {_first(contents)}\n'
                         'valid: the schemes of docs/pretrained_weights.md; see python -m s4mim_jax.import_weights '
                         'FILE --describe')
    found = contents.encoder.found
    if found.network != encoder:
        raise InputError(f'weights file {path} looks like {found.network}, not like encoder {encoder}')
    if found.refusal:
        raise InputError(f'weights file {path} looks like {found.network}, but {found.refusal}')
    for part in parts:
        found = getattr(contents, part).found
        for key, value in found.settings.items():
            if in_effect(model_config, key) != value:
                raise InputError(f'weights file {path} has {_spoken(key, value)}, the model '
                                 f'{_spoken(key, in_effect(model_config, key))}\n'
                                 f'for these weights: --config.model.{key}={_text(value)}' + _without_decoder(part))
    if contents.has_batch_norm and model_config.norm != 'batch':
        raise InputError(f'weights file {path} is of a network with BatchNorm; config.model.norm={model_config.norm} '
                         'cannot take it\nvalid: --config.model.norm=batch')
    if contents.has_batch_norm and contents.padding not in (None, model_config.padding):
        raise InputError(f'weights file {path} was trained with padding {contents.padding!r}, '
                         f'config.model.padding is {model_config.padding!r}\n'
                         f'for these weights: --config.model.padding={contents.padding}')


def _first(contents):
    return ', '.join(list(contents.weights.arrays)[:3]) or 'nowhere: it is empty'


def _spoken(key, value):
    return f'the {value} stem' if key == 'stem' else f'{key}={_text(value)}'


def _text(value):
    return f"({','.join(map(str, value))})" if isinstance(value, tuple) else str(value)


def _without_decoder(part):
    return '' if part == 'encoder' else ('\nits encoder alone: python -m s4mim_jax.import_weights FILE --encoder_only '
                                         '--output=ENCODER.safetensors')
