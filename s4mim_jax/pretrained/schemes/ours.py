"""Files that `python -m s4mim_jax.import_weights` writes: leaves under their own paths, facts in the metadata."""

import json
import re

from s4mim_jax.pretrained.schemes.scheme import Arrays, Found, Scheme, Source

ENCODER_FORMAT, NETWORK_FORMAT = 's4mim_jax encoder', 's4mim_jax network'


def is_ours(metadata: dict[str, str]) -> bool:
    """True for the metadata of a file that import_weights wrote."""
    return metadata.get('format') in (ENCODER_FORMAT, NETWORK_FORMAT)


def describe(part: str, metadata: dict[str, str]) -> Found | None:
    """What the metadata say of the encoder or the decoder; None without decoder."""
    network = metadata.get(part)
    if network is None:
        return None
    settings = json.loads(metadata.get(f'{part}_settings', '{}'))
    if part == 'encoder' and network.startswith('resnet'):
        settings.setdefault('stem', metadata.get('stem', '7x7'))
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    return Found(network, settings, json.loads(metadata.get(f'{part}_habits', '{}')),
                 int(metadata['classes']) if part == 'decoder' and 'classes' in metadata else None)


def metadata_of(encoder: Found, decoder: Found | None) -> dict[str, str]:
    """Text for the file's metadata, which `describe` reads again."""
    found = {'encoder': encoder, **({'decoder': decoder} if decoder else {})}
    metadata = {'format': NETWORK_FORMAT if decoder else ENCODER_FORMAT}
    for part, what in found.items():
        metadata |= {part: what.network, f'{part}_settings': json.dumps(what.settings),
                  f'{part}_habits': json.dumps(what.habits)}
    if encoder.network.startswith('resnet'):
        metadata['stem'] = encoder.settings['stem']
    return metadata | ({'classes': str(decoder.classes)} if decoder and decoder.classes else {})


def _recognise(arrays: Arrays) -> Found | None:
    return None  # recognised by metadata


def _source(part: str):
    return lambda path, found: Source((f'{_collection(path)}/{part}/{path}',))


def _collection(path: str) -> str:
    """'batch_stats' for running statistics, 'params' for everything else."""
    return 'batch_stats' if path.rpartition('/')[2] in ('mean', 'var') else 'params'


ENCODER, DECODER = (
    Scheme('s4mim_jax', '`python -m s4mim_jax.import_weights`', f'`params/{part}/..`', part, _recognise, _source(part),
           re.compile('(?!)'), re.compile(f'^(params|batch_stats)/{part}/')) for part in ('encoder', 'decoder'))
