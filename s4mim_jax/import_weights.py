"""Turns published weights into a file of this project's own names, or tells what a file holds.

    python -m s4mim_jax.import_weights SOURCE --describe
    python -m s4mim_jax.import_weights SOURCE --output=FILE [--encoder=resnet50] [--entry=model_ema] [--encoder_only]
                                              [--allow_missing=REGEX] [--padding=same] [--epsilon=1e-3]

SOURCE is a .safetensors, .npz or .pth in a naming scheme of docs/pretrained_weights.md: encoders, or whole networks
(encoder and decoder). FILE is a .npz or .safetensors for `--config.model.pretrained`; training also takes
SOURCE itself where nothing is missing. SOURCE may be the folder of a run too: `--output=FILE [--half]` writes its best
network, the teacher's if it has one.
"""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

from absl import flags

from s4mim_jax import models
from s4mim_jax.config.command_line import run
from s4mim_jax.config.errors import InputError
from s4mim_jax.pretrained import contents as file_contents
from s4mim_jax.pretrained.description import describe, model_of
from s4mim_jax.pretrained.matching import fit
from s4mim_jax.pretrained.parts import wanted
from s4mim_jax.pretrained.readers import read_weights, write_weights
from s4mim_jax.pretrained.schemes import ours
from s4mim_jax.runs.weights_file import write_run_weights

USAGE = ('usage: python -m s4mim_jax.import_weights SOURCE --output=FILE [--encoder=NAME] [--entry=NAME] '
         '[--encoder_only] [--allow_missing=REGEX]\n       python -m s4mim_jax.import_weights SOURCE --describe')


def open_source(source: str, entry: str | None = None, padding: str | None = None,
                epsilon: float | None = None) -> file_contents.Contents:
    """Reads and recognises a file; padding and epsilon are what the user says of it, None = as it says itself."""
    weights = read_weights(source, entry)
    said = {'padding': padding, 'epsilon': None if epsilon is None else repr(epsilon)}
    metadata = weights.metadata | {key: value for key, value in said.items() if value is not None}
    return file_contents.recognise(dataclasses.replace(weights, metadata=metadata))


def convert(source: str, encoder: str | None, output: str, allow_missing: str | None = None, *,
            entry: str | None = None, encoder_only: bool = False, padding: str | None = None,
            epsilon: float | None = None, say: Callable[[str], None] = lambda line: None) -> dict[str, str]:
    """Reads SOURCE, fits it to the network it is of, writes output; returns the metadata of the new file.

    Args:
      encoder: what SOURCE must be; None = what its names tell.
      allow_missing: names that SOURCE may lack (regular expression).
      entry: of a training checkpoint; None as in `read_weights`.
      encoder_only: leave the decoder of a whole network behind.
      padding, epsilon: of the source's convolutions and BatchNorm, where the file does not say it.
      say: receives lines that tell what was taken and changed.

    Raises:
      InputError: unknown encoder, unreadable source, arrays that do not fit, or no way to write.
    """
    if encoder is not None and encoder not in models.ENCODERS:
        raise InputError(f'--encoder={encoder} is unknown\nvalid: {", ".join(models.ENCODERS)}')
    try:
        re.compile(allow_missing or '')
    except re.error as error:
        raise InputError(f'--allow_missing={allow_missing} is no regular expression: {error}') from None
    contents = open_source(source, entry, padding, epsilon)
    config, classes = model_of(contents, encoder, encoder_only)
    plan = wanted(contents, config, classes, encoder_only)
    fitted = fit(contents, plan, allow_missing)
    decoder = contents.decoder.found if 'decoder' in plan.parts else None
    metadata = {**ours.metadata_of(contents.encoder.found, decoder), 'source': Path(source).name,
                'missing': ' '.join(fitted.missing)}
    if contents.weights.entry:
        metadata['entry'] = contents.weights.entry
    # A file that does not say its padding stays without it: a guess would pass for a fact.
    if contents.has_batch_norm and contents.padding:
        metadata['padding'] = contents.padding
    write_weights(output, fitted.arrays, metadata)
    for line in (plan.told, *fitted.notes):
        say(line)
    return metadata


def main(arguments, config_file, overrides):
    if config_file or overrides:
        raise InputError('import_weights takes no --config; its flags: --describe, --encoder, --output, --entry, '
                         '--encoder_only, --allow_missing, --padding, --epsilon')
    values = flags.FLAGS
    if len(arguments) != 1 or not (values.output or values.describe):
        raise InputError(USAGE)
    source = arguments[0]
    if values.describe:
        print('\n'.join(describe(open_source(source, values.entry, values.padding, values.epsilon))))
    if not values.output:
        return
    if Path(source).is_dir():
        metadata = write_run_weights(source, values.output, values.half)
        print(f'{values.output}: {metadata["encoder"]} with {metadata["decoder"]} of {metadata["classes"]} classes, '
              f'{Path(values.output).stat().st_size:,} bytes')
        return
    metadata = convert(source, values.encoder, values.output, values.allow_missing, entry=values.entry,
                       encoder_only=values.encoder_only, padding=values.padding, epsilon=values.epsilon,
                       say=lambda line: print(f'{source}: {line}'))
    missing = metadata['missing'].split()
    holds = metadata['encoder'] + (f' with {metadata["decoder"]}' if 'decoder' in metadata else ' encoder')
    print(f'{values.output}: {holds}, padding {metadata.get("padding", "not stated")}')
    if missing:
        print(f'left at their initial values ({len(missing)}): {", ".join(missing)}')


if __name__ == '__main__':
    flags.DEFINE_bool('describe', False, 'tell what SOURCE holds')
    flags.DEFINE_bool('half', False, "kernels as float16, where SOURCE is a run's folder")
    flags.DEFINE_string('encoder', None, 'encoder that SOURCE must belong to; default: what its names tell')
    flags.DEFINE_string('output', None, 'file to write: .npz or .safetensors')
    flags.DEFINE_string('entry', None, 'network of a training checkpoint; default: the averaged one (model_ema) if it '
                        'has one, else the trained one (model, state_dict)')
    flags.DEFINE_bool('encoder_only', False, 'leave the decoder of a whole network behind')
    flags.DEFINE_string('allow_missing', None, 'names that SOURCE may lack (regular expression)')
    flags.DEFINE_enum('padding', None, ['symmetric', 'same'], 'padding of its convolutions, if it does not say')
    flags.DEFINE_float('epsilon', None, 'epsilon of its BatchNorm, if it does not say; default 1e-5')
    flags.FLAGS.set_gnu_getopt(True)  # options may follow SOURCE
    run(main)
