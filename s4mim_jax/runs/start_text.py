"""What `train` says before its first step: what the numbers of the run depend on, in words."""

import jax

from s4mim_jax.training import passes
from s4mim_jax.training.optimizer import base_learning_rate


def start_text(config, source, split, notes, mesh, protocol: dict, parameters: int) -> str:
    """Lines about dataset, network, batch and rate, devices, evaluation, and the passes of a step.

    Args:
      source: data.Source. split: data.Split. notes: lines about the dataset. mesh: jax.sharding.Mesh.
      protocol: `evaluation.describe(config)`. parameters: of the network and its heads.
    """
    unlabeled = passes.passes_of(config.method).unlabeled
    rate, o = base_learning_rate(config), config.optimizer
    lines = [
        f'{config.method.name} on {source.name}: {source.num_classes} classes, split {split.name} '
        f'({len(split.labeled)} labelled, {len(split.unlabeled)} unlabelled, hash {split.hash[:12]})',
        *notes,
        f'{config.model.encoder} + {config.model.decoder}, {parameters:,} parameters, {config.precision}',
        f'global batch {config.batch.labeled} labelled'
        + (f' + {config.batch.unlabeled} unlabelled' if unlabeled else '')
        + f' in {_counted(config.batch.accumulate, "micro-batch", "micro-batches")}; the recipe\'s reference batch is '
        f'{o.reference_batch}, so the learning rate {o.learning_rate:g} becomes {rate:g} (encoder) and '
        f'{rate * o.head_multiplier:g} (rest)',
        f'{_counted(jax.device_count(), "device", "devices")} {jax.devices()[0].device_kind}: '
        f'{mesh.shape["data"]} x data, {mesh.shape["fsdp"]} x fsdp, partition {config.partition}',
        f'evaluation: {in_words(protocol)}',
    ]
    if config.method.class_weights:
        weights = (f'{name} {weight:g}' for name, weight in zip(source.classes, config.method.class_weights))
        lines.append(f'class weights ({config.method.class_balance}): {", ".join(weights)}')
    return '\n'.join([*lines, f'network passes of a step:\n{passes.describe(config)}'])


def in_words(protocol: dict) -> str:
    """An evaluation protocol as a sentence.

    >>> in_words({'mode': 'whole', 'resize': None, 'multiple': 32, 'scored_at': 'own size', 'scales': [1.0],
    ...           'flip': False, 'precision': 'float32'})
    'the whole image at its own size, sides rounded to multiples of 32, scored at own size, float32'
    """
    size = lambda pair: f'{pair[0]} x {pair[1]}'
    at = f'resized to {size(protocol["resize"])}' if protocol.get('resize') else 'at its own size'
    said = {'whole': f'the whole image {at}', 'center_crop': f'a window in the middle of the image {at}',
            'sliding': f'sliding windows over the image {at}'}[protocol['mode']]
    parts = [said]
    if protocol.get('window'):
        parts.append(f'windows of {size(protocol["window"])}')
    if protocol.get('stride'):
        parts.append(f'a window every {size(protocol["stride"])}')
    if protocol.get('multiple', 1) != 1:
        parts.append(f'sides rounded to multiples of {protocol["multiple"]}')
    if protocol.get('align_corners'):
        parts.append('corners aligned')
    if list(protocol['scales']) != [1.0]:
        parts.append(f'mean over scales {", ".join(f"{scale:g}" for scale in protocol["scales"])}')
    if protocol['flip']:
        parts.append('and over mirrored copies')
    return ', '.join([*parts, f'scored at {protocol["scored_at"]}', protocol['precision']])


def _counted(number: int, one: str, many: str) -> str:
    return f'{number} {one if number == 1 else many}'
