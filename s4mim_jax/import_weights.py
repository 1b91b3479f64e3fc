"""Turns published ImageNet weights into a file of this project's own names.

    python -m s4mim_jax.import_weights SOURCE --encoder=resnet50 --output=FILE [--allow_missing=REGEX]

SOURCE is a .safetensors, .npz or .pth in torchvision's names. FILE is a .npz or .safetensors for
`--config.model.pretrained`; training also takes SOURCE itself where nothing is missing.
"""

from pathlib import Path
import re

from absl import flags

from s4mim_jax import models
from s4mim_jax.command import run
from s4mim_jax.config import base
from s4mim_jax.errors import InputError
from s4mim_jax.pretrained import encoder_shapes
from s4mim_jax.pretrained.matching import FORMAT, architecture_of, match, padding_of
from s4mim_jax.pretrained.readers import read_weights, write_weights


def convert(source: str, encoder: str, output: str, allow_missing: str | None = None) -> dict[str, str]:
    """Reads SOURCE, fits it to the encoder, writes output; returns the metadata of the new file.

    Raises:
      InputError: unknown encoder, unreadable source, arrays that do not fit, or no way to write.
    """
    if encoder not in models.ENCODERS:
        raise InputError(f'--encoder={encoder} is unknown\nvalid: {", ".join(models.ENCODERS)}')
    try:
        re.compile(allow_missing or '')
    except re.error as error:
        raise InputError(f'--allow_missing={allow_missing} is no regular expression: {error}') from None
    weights = read_weights(source)
    config = base().model
    config.encoder = encoder
    config.stem = architecture_of(weights)[1] or config.stem
    shapes = encoder_shapes(models.build(config, num_classes=2))
    arrays = match(weights, shapes, encoder, config.stem, allow_missing)
    metadata = {'format': FORMAT, 'encoder': encoder, 'stem': config.stem, 'source': Path(source).name,
                'missing': ' '.join(path for path in shapes if path not in arrays)}
    # A file that does not say its padding stays without it: a guess would pass for a fact.
    if padding_of(weights):
        metadata['padding'] = padding_of(weights)
    write_weights(output, arrays, metadata)
    return metadata


def main(arguments, config_file, overrides):
    if config_file or overrides:
        raise InputError('import_weights takes no --config; its flags: --encoder, --output, --allow_missing')
    values = flags.FLAGS
    if len(arguments) != 1 or not values.encoder or not values.output:
        raise InputError('usage: python -m s4mim_jax.import_weights SOURCE --encoder=NAME --output=FILE '
                         '[--allow_missing=REGEX]')
    metadata = convert(arguments[0], values.encoder, values.output, values.allow_missing)
    missing = metadata['missing'].split()
    print(f'{values.output}: {metadata["encoder"]} encoder, padding {metadata.get("padding", "not stated")}')
    if missing:
        print(f'left at their initial values ({len(missing)}): {", ".join(missing)}')


if __name__ == '__main__':
    flags.DEFINE_string('encoder', None, 'encoder that SOURCE belongs to')
    flags.DEFINE_string('output', None, 'file to write: .npz or .safetensors')
    flags.DEFINE_string('allow_missing', None, 'names that SOURCE may lack (regular expression)')
    flags.FLAGS.set_gnu_getopt(True)  # options may follow SOURCE
    run(main)
