"""The evaluation stream: every image exactly once, in batches of one shape, without TensorFlow.

Images of one size share batches; a batch that they do not fill is padded with rows that are marked
invalid, so that one compiled function serves every batch of a shape.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.check import Table
from s4mim_jax.data.geometry import resize_image
from s4mim_jax.data.samples import read_image, read_label
from s4mim_jax.data.sizes import canvas_size, network_size
from s4mim_jax.data.source import Sample, Source

BATCHES_AHEAD = 2


def evaluation_batches(
    source: Source,
    samples: Sequence[Sample],
    config,
    *,
    table: Table,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict]:
    """Batches of this process's share of the samples; the shares are disjoint and may be uneven.

    Args:
      source: the dataset.
      samples: all samples of the split; one without a mask has label 255 everywhere.
      config: read are data.resize, eval.batch and eval.multiple.
      table: rows of all the samples.
      process_index, process_count: process p takes samples p, p + process_count, ...

    Yields:
      image uint8 [B, h, w, channels] at `network_size`; label uint8 [B, Hc, Wc] at the image's own size,
      padded at the bottom and right with 255; size int32 [B, 2], own (H, W); valid bool [B]; id,
      a list of B strings. B = config.eval.batch; rows that fill up the last batch of a shape come
      last and have valid False, image 0, label 255, size 0 and id ''.
      Images are in the order of `samples` within a shape, shapes in the order of their first image.

    Raises:
      InputError: a batch size that is not positive, or a file that cannot be read.
    """
    if config.eval.batch < 1:
        raise InputError(f'--config.eval.batch={config.eval.batch}\nvalid: a positive number')
    # Of the whole split, so that processes agree.
    sizes = {(table[sample].height, table[sample].width) for sample in samples}
    canvases = {size: canvas_size(size, sizes if len(sizes) == 1 else None) for size in sizes}
    groups: dict[tuple, list[Sample]] = {}
    for sample in samples[process_index::process_count]:
        own = (table[sample].height, table[sample].width)
        groups.setdefault((network_size(own, config), canvases[own]), []).append(sample)
    plan = [(shapes, group[start:start + config.eval.batch]) for shapes, group in groups.items()
            for start in range(0, len(group), config.eval.batch)]
    channels = source.pixels.channels
    pool = ThreadPoolExecutor(min(os.cpu_count() or 1, 8))
    try:
        ahead = deque()
        for shapes, group in plan:
            ahead.append((shapes, [pool.submit(_read, source, s, shapes[0]) for s in group], group))
            if len(ahead) > BATCHES_AHEAD:
                yield _batch(*ahead.popleft(), config.eval.batch, channels)
        while ahead:
            yield _batch(*ahead.popleft(), config.eval.batch, channels)
    finally:
        pool.shutdown(cancel_futures=True)


def _read(source, sample, size):
    image = read_image(source, sample)
    if sample.mask is None:
        label = np.full(image.shape[:2], IGNORE, np.uint8)
    else:
        label = read_label(source, sample)
    return resize_image(image, size), label


def _batch(shapes, futures, samples, rows, channels):
    network, canvas = shapes
    batch = {'image': np.zeros((rows, *network, channels), np.uint8),
             'label': np.full((rows, *canvas), IGNORE, np.uint8),
             'size': np.zeros((rows, 2), np.int32),
             'valid': np.arange(rows) < len(samples),
             'id': [sample.id for sample in samples] + [''] * (rows - len(samples))}
    for row, future in enumerate(futures):
        image, label = future.result()
        height, width = label.shape
        batch['image'][row] = image
        batch['label'][row, :height, :width] = label
        batch['size'][row] = height, width
    return batch
