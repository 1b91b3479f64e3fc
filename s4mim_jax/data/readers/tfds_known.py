"""Feature maps of TFDS datasets whose classes their metadata do not tell. Needs no TensorFlow."""

from typing import NamedTuple

import numpy as np

from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.classes import voc_palette
from s4mim_jax.data.readers import ade20k, cityscapes

# Masks of other values than the listed ones are wrong: 254 is outside the classes.
_WRONG = dict.fromkeys(range(IGNORE), IGNORE - 1)


class FeatureMap(NamedTuple):
    """How a TFDS dataset becomes a Source.

    Attributes:
      image, label: names of the features.
      classes, palette: C names, uint8 [C, 3].
      raw: mask value -> class id, 255 = ignore.
      splits: of ours -> of TFDS; {} = by their names, see `tfds_reader.split_map`.
      red: whether the class is the red channel of a colour mask.
    """

    image: str
    label: str
    classes: tuple[str, ...]
    palette: np.ndarray
    raw: dict[int, int]
    splits: dict[str, str] = {}
    red: bool = False


KNOWN = {
    'oxford_iiit_pet': FeatureMap('image', 'segmentation_mask', ('pet', 'background', 'outline'),
                                  np.array([(230, 120, 40), (60, 60, 90), (250, 230, 80)], np.uint8),
                                  _WRONG | {1: 0, 2: 1, 3: 2}),
    # The masks of its test split are empty: they are not public.
    'cityscapes/semantic_segmentation': FeatureMap(
        'image_left', 'segmentation_label', cityscapes.CLASSES, cityscapes.PALETTE, cityscapes.FROM_LABEL_IDS,
        {'train': 'train', 'val': 'validation', 'test': 'validation'}),
    # What TFDS ships under this name are the instance annotations of the 2017 challenge: red holds one of
    # 100 objects, in the order of the 150 classes, or 0 for all else; green counts instances.
    'scene_parse150': FeatureMap('image', 'annotation', ('other', *(ade20k.CLASSES[c] for c in ade20k.OBJECTS)),
                                 np.concatenate([voc_palette(1), ade20k.PALETTE[list(ade20k.OBJECTS)]]),
                                 _WRONG | {v: v for v in range(len(ade20k.OBJECTS) + 1)}, red=True),
}
# For a dataset of the same name that was built with the gray masks of 150 classes.
GRAY = {'scene_parse150': FeatureMap('image', 'annotation', ade20k.CLASSES, ade20k.PALETTE, ade20k.FROM_OFFICIAL)}
# TFDS takes the first configuration of a name that is given without one.
KNOWN['cityscapes'] = KNOWN['cityscapes/semantic_segmentation']


def find(name: str) -> FeatureMap | None:
    """The map of 'NAME', 'NAME/CONFIG' or 'NAME:VERSION', or None."""
    return KNOWN.get(name.partition(':')[0])
