"""What a plan needs to know of a dataset: classes and images. The dataset itself may be absent."""

import importlib
from fractions import Fraction
from typing import NamedTuple

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.readers import tfds_known
from s4mim_jax.data.source import DRAWN, reader_name

# Where the class names of datasets stand that are the same everywhere. `folder` brings its own.
CLASSES = {'shapes': 's4mim_jax.data.shapes.scene', 'shapes_large': 's4mim_jax.data.shapes.scene',
           'patterns': 's4mim_jax.data.patterns.scene',
           'camvid': 's4mim_jax.data.readers.camvid',
           'voc': 's4mim_jax.data.readers.voc',
           'cityscapes': 's4mim_jax.data.readers.cityscapes',
           'ade20k': 's4mim_jax.data.readers.ade20k',
           'coco': 's4mim_jax.data.readers.coco'}


class Dataset(NamedTuple):
    """num_classes; images: in an epoch, None if unknown; source: where the two come from, in words."""

    num_classes: int
    images: int | None
    source: str


def known_classes(name: str) -> int | None:
    """Classes of a dataset whose name tells them; None for `folder` and unknown names."""
    reader = reader_name(name)
    if reader in CLASSES:
        return len(importlib.import_module(CLASSES[reader]).CLASSES)
    features = tfds_known.find(name.partition(':')[2]) if reader == 'tfds' else None
    return len(features.classes) if features else None


def look_up(config, unlabeled: bool, num_classes: int | None = None, images: int | None = None) -> Dataset:
    """Classes and images, from the flags, else from the dataset if it is there, else from its name.

    Args:
      config: a whole config. unlabeled: whether the method has unlabelled images; an epoch is then one
        of those, otherwise of the labelled ones.
      num_classes, images: what the flags say; they come before everything else.

    Raises:
      InputError: an unknown dataset, or one whose classes nothing tells.
    """
    name = config.data.name
    reader = reader_name(name)
    known, counted, missing = None, None, ''
    # What the package draws needs TensorFlow Datasets to be opened, and would be drawn if it is missing.
    if reader not in DRAWN and (num_classes is None or images is None):
        try:
            known, counted = _read(config, unlabeled)
        except InputError as error:
            missing = str(error).partition('\n')[0]
    where = 'the dataset' if known else f'the name {name!r}'
    known = known_classes(name) if known is None else known
    if num_classes is None and known is None:
        raise InputError(f'--config.data.name={name}: the number of classes is unknown; {missing}\n'
                         'give it as --num_classes=C, or the folder as --config.data.dir')
    source = f'classes from {"--num_classes" if num_classes is not None else where}'
    if images is not None or counted is not None:
        source += f', images from {"--images" if images is not None else "the dataset"}'
    return Dataset(known if num_classes is None else num_classes, counted if images is None else images, source)


def _read(config, unlabeled: bool) -> tuple[int, int]:
    """Classes and images of a dataset that is there."""
    from s4mim_jax import data
    source, spec = data.open_source(config.data), config.data.split
    if spec.startswith('seeded:'):  # which images are labelled takes a scan of all files; how many does not
        train = source.splits['train']
        share = Fraction(spec.removeprefix('seeded:'))
        masks = sum(sample.mask is not None for sample in train)
        labeled = max(1, int(masks * share + Fraction(1, 2)))
        return source.num_classes, len(train) - (labeled if share < 1 else 0) if unlabeled else labeled
    split = data.training_split(source, spec, config.seed)
    return source.num_classes, len(split.unlabeled if unlabeled else split.labeled)
