"""The evaluation stream: every image exactly once, in batches of one shape, without TensorFlow.

Images of one size share batches; a batch that they do not fill is padded with rows that are marked
invalid, so that one compiled function serves every batch of a shape.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from s4mim_jax.config.encoder_sizes import takes_padding
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.check import SampleTable
from s4mim_jax.data.geometry import resize_image
from s4mim_jax.data.samples import read_image, read_label
from s4mim_jax.data.shape_buckets import FEW, bucket_shapes
from s4mim_jax.data.sizes import canvas_size, network_size
from s4mim_jax.data.source import Sample, Source

BATCHES_AHEAD = 2


def evaluation_batches(
    source: Source,
    samples: Sequence[Sample],
    config,
    *,
    table: SampleTable,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict]:
    """Batches of this process's share of the samples; the shares are disjoint and may be uneven.

    Args:
      source: the dataset.
      samples: all samples of the split; one without a mask has label 255 everywhere.
      config: read are data.resize, eval and what of model decides whether images can be padded.
      table: rows of all the samples.
      process_index, process_count: process p takes samples p, p + process_count, ...

    Yields:
      image uint8 [B, h, w, channels] at `network_size`; label uint8 [B, Hc, Wc] at the image's own size,
      padded at the bottom and right with 255; size int32 [B, 2], own (H, W); valid bool [B]; id,
      a list of B strings. B = config.eval.batch; rows that fill up the last batch of a shape come
      last and have valid False, image 0, label 255, size 0 and id ''.
      Images of more than a few sizes are padded at the bottom and right up to few shapes, where network and evaluation
      take that; then there is seen int32 [B, 2] too, the part of each image's array that it fills (1 in rows that fill
      up), and a canvas may be larger.
      Images are in the order of `samples` within a shape, shapes in the order of their first image.

    Raises:
      InputError: a batch size that is not positive, or a file that cannot be read.
    """
    if config.eval.batch < 1:
        raise InputError(f'--config.eval.batch={config.eval.batch}\nvalid: a positive number')
    # Of the whole split, so that processes agree.
    sizes = {(table[sample].height, table[sample].width) for sample in samples}
    shapes_of, padded = _shapes(sizes, [(table[sample].height, table[sample].width) for sample in samples], config)
    groups: dict[tuple, list[Sample]] = {}
    for sample in samples[process_index::process_count]:
        groups.setdefault(shapes_of[table[sample].height, table[sample].width], []).append(sample)
    plan = [(shapes, group[start:start + config.eval.batch]) for shapes, group in groups.items()
            for start in range(0, len(group), config.eval.batch)]
    channels = source.pixels.channels
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 8))
    try:
        ahead = deque()
        for shapes, group in plan:
            ahead.append((shapes, [pool.submit(_read, source, s, config) for s in group], group))
            if len(ahead) > BATCHES_AHEAD:
                yield _batch(*ahead.popleft(), config.eval.batch, channels, padded)
        while ahead:
            yield _batch(*ahead.popleft(), config.eval.batch, channels, padded)
    finally:
        pool.shutdown(cancel_futures=True)


def _shapes(sizes: set, all_owns: list, config) -> tuple[dict, bool]:
    """Own size -> (shape at the network, canvas), and whether images are padded up to the former."""
    kinds = max(len({network_size(own, config) for own in sizes}), len({canvas_size(own) for own in sizes}))
    if kinds > FEW and _paddable(config):
        vector = lambda own: (*network_size(own, config), *own)
        buckets = bucket_shapes(map(vector, all_owns))
        return {own: (buckets[vector(own)][:2], buckets[vector(own)][2:]) for own in sizes}, True
    return {own: (network_size(own, config), canvas_size(own, sizes if len(sizes) == 1 else None))
            for own in sizes}, False


def _paddable(config) -> bool:
    once = tuple(config.eval.scales) == (1.0,) and not config.eval.flip
    return takes_padding(config.model) and config.eval.mode == 'whole' and once


def _read(source, sample, config):
    image = read_image(source, sample)
    if sample.mask is None:
        label = np.full(image.shape[:2], IGNORE, np.uint8)
    else:
        label = read_label(source, sample)
    return resize_image(image, network_size(label.shape, config)), label


def _batch(shapes, futures, samples, rows, channels, padded):
    network, canvas = shapes
    batch = {'image': np.zeros((rows, *network, channels), np.uint8),
             'label': np.full((rows, *canvas), IGNORE, np.uint8),
             'size': np.zeros((rows, 2), np.int32),
             'valid': np.arange(rows) < len(samples),
             'id': [sample.id for sample in samples] + [''] * (rows - len(samples))}
    if padded:
        batch['seen'] = np.ones((rows, 2), np.int32)
    for row, future in enumerate(futures):
        image, label = future.result()
        height, width = label.shape
        batch['image'][row, :image.shape[0], :image.shape[1]] = image
        if padded:
            batch['seen'][row] = image.shape[:2]
        batch['label'][row, :height, :width] = label
        batch['size'][row] = height, width
    return batch
