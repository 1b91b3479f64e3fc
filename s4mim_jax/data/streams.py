"""The training streams: endless batches of crops, each a pure function of (seed, global index).

    range of positions -> permutation of the epoch -> read -> stateless geometry -> batch

Nothing is remembered between elements, so a resumed run starts its range later and gets the same
bytes, and a process that owns a part of every global batch reads nothing else.
"""

import os
from collections.abc import Iterator

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import order
from s4mim_jax.data.check import SampleTable
from s4mim_jax.data.crops import CropReader, decoded_bytes
from s4mim_jax.data.source import Source
from s4mim_jax.data.splits import Split
from s4mim_jax.data.tensorflow_setup import tf

# Datasets that take no more than this when decoded are kept in memory, decoded (per process).
KEEP_DECODED = 2 ** 29
PREFETCHED_BATCHES = 2


def training_batches(
    source: Source,
    split: Split,
    config,
    *,
    tables: SampleTable,
    start_step: int = 0,
    process_index: int = 0,
    process_count: int = 1,
    with_unlabeled: bool = True,
    with_hidden_labels: bool = True,
    threads: int = 0,
    keep_decoded: int = KEEP_DECODED,
) -> Iterator[dict[str, dict[str, np.ndarray]]]:
    """This process's rows of every global batch from `start_step` on, without end.

    Args:
      source: the dataset.
      split: its labelled and unlabelled samples.
      config: read are seed, batch, data and method.cutmix.partner.
      tables: one table with the rows of all samples of the split.
      start_step: updates already made; the first batch is that of update start_step + 1.
      process_index, process_count: process p owns rows [p * b, (p + 1) * b) of a global batch.
      with_unlabeled: False leaves out the unlabelled stream; it changes nothing in the labelled.
      with_hidden_labels: decode masks that unlabelled images happen to have, for monitoring; False
        leaves out unlabeled.label and changes nothing else.
      threads: of a pool of its own; 0 = TensorFlow's shared one.
      keep_decoded: bytes; a split that is larger when decoded is read again in every epoch.

    Yields:
      {'labeled': {image uint8 [b, H, W, C], label uint8 [b, H, W], index int32 [b]},
       'unlabeled': {image uint8 [b, P, H, W, C], valid bool [b, P, H, W], index int32 [b],
                     label uint8 [b, P, H, W]}}
      (H, W) = config.data.crop; padding is image 0, label 255, valid False. P = 2 where the CutMix
      partner is a crop of its own ('self_view', 'independent'), else 1. index is the position in
      the stream of its kind, step * B + row.

    Raises:
      InputError: a global batch that the processes cannot share evenly; while iterating, a file
        that cannot be read.
    """
    if process_count < 1 or not 0 <= process_index < process_count:
        raise ValueError(f'process {process_index} of {process_count}')
    kinds = {'labeled': split.labeled} | ({'unlabeled': split.unlabeled} if with_unlabeled else {})
    samples = [sample for kind in kinds.values() for sample in kind]
    cache = {} if decoded_bytes(samples, tables, source.pixels.channels) <= keep_decoded else None
    datasets, readers = {}, []
    for kind in kinds:
        rows = _rows(config.batch[kind], kind, process_count)
        if not kinds[kind]:
            raise InputError(f'--config.data.split={config.data.split}: no {kind} samples')
        labels = kind == 'labeled' or with_hidden_labels
        readers.append(CropReader(source, kinds[kind], tables, config.data, labels=labels,
                                  cache=cache))
        example = _labeled(config, readers[-1]) if kind == 'labeled' else _unlabeled(
            config, readers[-1])

        # AutoGraph rewrites the source of every function called here, which takes seconds; none branches on a tensor.
        @tf.autograph.experimental.do_not_convert
        def element(count, rows=rows, example=example):
            return example(order.local_position(count, rows, process_index, process_count))

        datasets[kind] = (
            tf.data.Dataset.range(start_step * rows, tf.int64.max)
            .map(element, num_parallel_calls=threads or processors(), deterministic=True)
            .batch(rows, drop_remainder=True))
    options = tf.data.Options()
    options.deterministic = True
    # Its thread sleeps for longer and longer, up to a minute, and who closes the stream waits until it wakes.
    options.autotune.enabled = False
    if threads:
        options.threading.private_threadpool_size = threads
    dataset = tf.data.Dataset.zip(datasets).prefetch(PREFETCHED_BATCHES).with_options(options)
    return _iterate(dataset, readers)


def processors() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _labeled(config, reader: CropReader):
    seed, count = config.seed, reader.count

    def example(position):
        sample = order.sample_at(seed, 'labeled/order', position, count)
        bits = order.random_bits(seed, 'labeled/geometry', position)
        crops = reader.crops(sample, bits[None])
        return {'image': crops['image'][0], 'label': crops['label'][0],
                'index': order.example_index(position)}

    return example


def _unlabeled(config, reader: CropReader):
    seed, count, partner = config.seed, reader.count, config.method.cutmix.partner

    def example(position):
        sample = order.sample_at(seed, 'unlabeled/order', position, count)
        bits = order.random_bits(seed, 'unlabeled/geometry', position)[None]
        partner_bits = order.random_bits(seed, 'unlabeled/partner/geometry', position)[None]
        if partner == 'self_view':
            crops = reader.crops(sample, tf.concat([bits, partner_bits], 0))
        elif partner == 'independent':
            other = order.other_sample_at(seed, 'unlabeled/partner/order', position, sample, count)
            own, others = reader.crops(sample, bits), reader.crops(other, partner_bits)
            crops = {name: tf.concat([own[name], others[name]], 0) for name in own}
        else:
            crops = reader.crops(sample, bits)
        return crops | {'index': order.example_index(position)}

    return example


def _rows(batch: int, kind: str, process_count: int) -> int:
    if batch < 1 or batch % process_count:
        raise InputError(f'--config.batch.{kind}={batch} cannot be shared by {process_count} '
                         f'processes\nvalid: a positive multiple of {process_count}')
    return batch // process_count


def _iterate(dataset, readers):
    batches = dataset.as_numpy_iterator()
    while True:
        try:
            batch = next(batches)
        except tf.errors.OpError as error:
            for reader in readers:
                if reader.failure is not None:
                    raise reader.failure from None
            raise InputError(f'a training image cannot be decoded; was it changed after the check?'
                             f'\n{error.message.splitlines()[0]}') from None
        yield batch
