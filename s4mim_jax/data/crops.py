"""Sample and random numbers -> training crops.

Two ways to the pixels, of which a dataset takes one for good, by its size alone:
- small enough to keep decoded: every file is decoded once, whole, through `images`;
- otherwise: only the window that the crops depend on, by TensorFlow's JPEG decoder and from the tiles or strips of
  a TIFF; a PNG and a mask are decoded whole, one at a time in each thread.
Both decode to the same numbers, and the resampling is one function, so the crops agree.
"""

import os
from collections.abc import Sequence

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data import geometry
from s4mim_jax.data.check import SampleTable
from s4mim_jax.data.files import tiff
from s4mim_jax.data.files.images import decode_image, fit_bands
from s4mim_jax.data.mask_meaning import read_labels
from s4mim_jax.data.source import Sample, Source
from s4mim_jax.data.tensorflow_setup import tf

_KINDS = ('jpeg', 'png8', 'other', 'tiff')  # the branches of `_decode_window`
_DIRECT = (1, 3, 4)  # channels that TensorFlow decodes


def decoded_bytes(samples: Sequence[Sample], table: SampleTable, channels: int = 3) -> int:
    """Memory that images and masks of the samples take when decoded."""
    rows = {sample.image: table[sample] for sample in samples}
    return sum((channels + 1) * row.height * row.width for row in rows.values())


class CropReader:
    """Cuts crops out of the samples of one stream.

    Args:
      source: where the bytes come from.
      samples: the stream's samples.
      table: sizes and kinds of them.
      data: `config.data`; read are crop, resize, scale and flip.
      labels: give labels too (all 255 for a sample without a mask).
      cache: {path: decoded array}, filled as files are read and shared by the streams; None =
        decode windows.

    Attributes:
      failure: the first InputError raised while reading; tf.data passes on no more than its text.
      count: number of samples.
    """

    def __init__(self, source: Source, samples: Sequence[Sample], table: SampleTable, data, *,
                 labels: bool, cache: dict[str, np.ndarray] | None):
        self.failure: InputError | None = None
        self._source, self._samples, self._cache = source, tuple(samples), cache
        self.count = len(self._samples)
        self._rows = [table[sample] for sample in samples]
        self._crop, self._scale, self._flip = tuple(data.crop), tuple(data.scale), data.flip
        self._base = tuple(data.resize) if data.resize else None
        self._labels, self._channels = labels, source.pixels.channels

    def crops(self, sample: tf.Tensor, bits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Crops of one sample, as tensors for use in a tf.data map.

        Args:
          sample: int64 scalar, number of the sample.
          bits: uint32 [V, 4], random numbers of V crops.

        Returns:
          image uint8 [V, H, W, channels], valid bool [V, H, W] and, if asked for, label uint8 [V, H, W].
        """
        views = bits.shape[0]
        kinds = {'image': tf.uint8, 'valid': tf.bool} | ({'label': tf.uint8} if self._labels else {})
        if self._cache is not None:
            values = tf.numpy_function(self._from_cache, [sample, bits], list(kinds.values()))
        else:
            data, kind, window = tf.numpy_function(
                self._fetch, [sample, bits], [tf.string, tf.int32, tf.int32])
            window.set_shape([4])
            pixels = self._decode_window(sample, data, kind, window)
            values = tf.numpy_function(self._render, [sample, bits, pixels, window[:2]],
                                       list(kinds.values()))
        result = dict(zip(kinds, values))
        for name, value in result.items():
            value.set_shape([views, *self._crop] + ([self._channels] if name == 'image' else []))
        return result

    def _placements(self, sample: int, bits: np.ndarray) -> list[geometry.Placement]:
        row = self._rows[sample]
        return [geometry.place(b.tolist(), (row.height, row.width), self._crop, scale=self._scale,
                               base=self._base, flip=self._flip) for b in bits]

    def _fetch(self, sample, bits):
        path = self._samples[sample].image
        windows = [geometry.source_window(p) for p in self._placements(sample, bits)]
        kind = self._rows[sample].kind
        if kind == 'tiff' and os.path.isfile(path):
            data = b''  # read where it lies, and no more of it than the window needs
        else:
            data = self._guarded(self._source.read_bytes, path)
        return (data, np.int32(_KINDS.index(kind)),
                np.array(geometry.enclosing(windows), np.int32))

    def _decode_window(self, sample, data, kind, window):
        top, left, height, width = tf.unstack(window)
        # TensorFlow's decoders know these numbers; no file of another is of their kinds.
        direct = self._channels if self._channels in _DIRECT else 3

        def cut(image):
            return image[top:top + height, left:left + width]

        def other():
            return tf.numpy_function(
                lambda n, d: self._guarded(decode_image, d, self._samples[n].image, self._source.pixels),
                [sample, data], tf.uint8)

        def tiff_window():
            return tf.numpy_function(lambda *arguments: self._guarded(self._tiff, *arguments),
                                     [sample, data, window], tf.uint8)

        def jpeg():  # the accurate DCT is Pillow's, and costs no time that could be measured
            return tf.image.decode_and_crop_jpeg(data, window, direct, dct_method='INTEGER_ACCURATE')

        return tf.switch_case(
            kind, [jpeg, lambda: cut(tf.io.decode_png(data, direct)), lambda: cut(other()), tiff_window])

    def _tiff(self, sample, data, window):
        path, form = self._samples[sample].image, self._source.pixels
        source = data or path
        values = tiff.read(source, path, tuple(int(n) for n in window))
        return form.to_bytes(fit_bands(values, tiff.layout(source, path).alpha, path, form), path)

    def _from_cache(self, sample, bits):
        image = self._decoded(self._samples[sample].image, self._image)
        return self._render(sample, bits, image, (0, 0))

    def _image(self, data, path):
        return decode_image(data, path, self._source.pixels)

    def _label(self, data, path):
        return read_labels(self._source, data, path)

    def _decoded(self, path, decode, shape=None):
        array = None if self._cache is None else self._cache.get(path)
        if array is None:
            array = self._guarded(lambda: _shaped(decode(self._source.read_bytes(path), path), path, shape))
            if self._cache is not None:  # two threads may both decode it: the same array
                self._cache[path] = array
        return array

    def _render(self, sample, bits, pixels, origin):
        placements = self._placements(sample, bits)
        images = np.zeros((len(placements), *self._crop, self._channels), np.uint8)
        valid = np.zeros((len(placements), *self._crop), bool)
        for placement, image, mark in zip(placements, images, valid):
            geometry.crop_image(pixels, origin, placement, image)
            mark[geometry.visible_part(placement, self._crop)] = True
        if not self._labels:
            return images, valid
        labels = np.full(valid.shape, IGNORE, np.uint8)
        path = self._samples[sample].mask
        if path is not None:
            row = self._rows[sample]
            mask = self._decoded(path, self._label, (row.height, row.width))
            for placement, label in zip(placements, labels):
                geometry.crop_label(mask, placement, label)
        return images, valid, labels

    def _guarded(self, function, *arguments):
        try:
            return function(*arguments)
        except InputError as error:
            self.failure = self.failure or error
            raise


def _shaped(array, path, shape):
    """A file that was changed after the scan may have another size, and a crop of it would show something else."""
    if shape is not None and array.shape[:2] != shape:
        raise InputError(f'{path}: {array.shape[0]}x{array.shape[1]}, its image is {shape[0]}x{shape[1]} (height x '
                         'width)\nwas it changed after the check?')
    return array
