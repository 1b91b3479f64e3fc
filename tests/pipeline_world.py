"""A dataset in memory: encoded images under made-up paths, for tests of the streams."""

import io

import numpy as np
from PIL import Image

from s4mim_jax.config import base
from s4mim_jax.data import Sample, Source, Split, check_samples

EXIF_ORIENTATION = 0x0112


def encoded(pixels, form='PNG', orientation=1, **options):
    """Bytes of an image file that shows `pixels` upright; it is stored turned by its orientation."""
    stored = np.rot90(pixels, {1: 0, 3: 2, 6: 1, 8: 3}[orientation])
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(buffer, form, exif=exif, **options)
    return buffer.getvalue()


def photograph(size, seed=0):
    """Smooth random colours uint8 [H, W, 3]: JPEG keeps them, and every place differs."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


def flat(value, size=(10, 12)):
    """One gray level all over, by which a test knows which sample a crop shows."""
    return np.full((*size, 3), value, np.uint8)


class World:
    """Files in a dict, all of them training samples.

    Args:
      images: [bytes], encoded.
      masks: [bytes or None] of the same length, or None = no masks.
      lookup: raw mask value -> class.
      classes: number of classes.
    """

    def __init__(self, images, masks=None, lookup=None, classes=4):
        masks = masks or [None] * len(images)
        self.files = {f'i{n}': data for n, data in enumerate(images)}
        self.files |= {f'm{n}': data for n, data in enumerate(masks) if data is not None}
        self.samples = tuple(Sample(str(n), f'i{n}', f'm{n}' if mask is not None else None)
                             for n, mask in enumerate(masks))
        self.source = Source(
            'memory', tuple(f'kind{n}' for n in range(classes)), np.zeros((classes, 3), np.uint8),
            {'train': self.samples}, np.arange(256, dtype=np.uint8) if lookup is None else lookup,
            'nowhere', read_bytes=self.files.__getitem__)
        self.table = check_samples(self.source, self.samples, cache_dir=None)
        labeled = tuple(sample for sample in self.samples if sample.mask) or self.samples
        self.split = Split('all', labeled, self.samples, 'hash')


def config(crop=(8, 8), labeled=4, unlabeled=4, partner='batch', **data):
    """A config for the streams; `data` changes keys of config.data."""
    c = base()
    c.data.crop = crop
    c.batch.update(labeled=labeled, unlabeled=unlabeled)
    c.method.cutmix.partner = partner
    c.data.update(data)
    return c
