"""Pixels and labels of a sample, decoded as its dataset says."""

import numpy as np

from s4mim_jax.data.files.images import decode_image
from s4mim_jax.data.mask_meaning import read_labels
from s4mim_jax.data.source import Sample, Source


def read_image(source: Source, sample: Sample) -> np.ndarray:
    """uint8 [H, W, channels]; raises InputError as `images.decode_image`."""
    return decode_image(source.read_bytes(sample.image), sample.image, source.pixels)


def read_label(source: Source, sample: Sample) -> np.ndarray:
    """Class ids and 255, uint8 [H, W], of a sample with a mask; raises InputError as `read_labels`."""
    return read_labels(source, source.read_bytes(sample.mask), sample.mask)
