"""The 16-bit folder that `fit` is tried on: the drawings of `shapes`, read as images of one channel."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from s4mim_jax import data
from s4mim_jax.config import base
from s4mim_jax.data.samples import read_image, read_label
from s4mim_jax.data.shapes.scene import CLASSES, draw

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))
import gray_shapes


def test_it_is_a_dataset_of_one_channel_and_sixteen_bits(tmp_path):
    gray_shapes.write(tmp_path, {'train': 2, 'val': 1, 'test': 1})
    values = np.asarray(Image.open(tmp_path / 'images/train/train_0001.png'))
    assert values.dtype == np.uint16 and 1000 <= values.min() < 2000 < values.max() <= 4570
    config = base()
    config.data.update(name='folder', dir=str(tmp_path), channels=1, value_range=(1000.0, 4570.0))
    source = data.open_source(config.data)
    assert source.classes == CLASSES and {split: len(samples) for split, samples in source.splits.items()} == {
        'train': 2, 'val': 1, 'test': 1}
    image, label = draw(0, 1)
    sample = source.splits['train'][1]
    np.testing.assert_array_equal(read_label(source, sample), label)
    seen = read_image(source, sample)
    assert seen.shape == (96, 96, 1)
    luminance = image @ np.array(gray_shapes.LUMINANCE)
    assert np.abs(seen[..., 0] - luminance).max() <= 1.5
