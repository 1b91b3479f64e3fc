"""TFDS builder of the embedded dataset. In a module and folder of its own, as TFDS asks."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from s4mim_jax.data.progress import Progress
from s4mim_jax.data.shapes.scene import CLASSES, SIZE, draw


class Drawn(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A dataset that the package draws. A subclass names TITLE, CLASSES, DRAW(stream, index) -> (image, mask) and
    SPLITS: split -> (number of the random stream, examples). Streams stay what they are when a split grows."""

    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES = {'1.0.0': 'First version.'}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            disable_shuffling=True,  # record number = index of the drawing
            description=f'{len(self.CLASSES) - 1} classes of drawn objects on a textured ground, {SIZE}x{SIZE}.',
            features=tfds.features.FeaturesDict({
                'image': tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format='png'),
                'label': tfds.features.LabeledImage(
                    labels=list(self.CLASSES), shape=(SIZE, SIZE, 1), encoding_format='png'),
            }))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        return {name: self._generate_examples(name) for name in self.SPLITS}

    def _generate_examples(self, split: str):
        stream, count = self.SPLITS[split]
        progress = Progress(f'drawing {self.TITLE}/{split}', count)
        for index in range(count):
            image, label = self.DRAW(stream, index)
            yield index, {'image': _png(image), 'label': _png(label)}
            progress.count()


class Shapes(Drawn):
    """Procedurally drawn objects on textured grounds, for semantic segmentation."""

    TITLE, CLASSES, DRAW = 'shapes', CLASSES, staticmethod(draw)
    SPLITS = {'train': (0, 1024), 'val': (1, 128), 'test': (2, 256)}


class ShapesLarge(Shapes):
    """The test split drawn further, to score a run of `shapes` more finely."""

    TITLE = 'shapes_large'
    SPLITS = {'test': (2, 1024)}


def _png(array: np.ndarray) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(array).save(file, 'PNG')
    file.seek(0)
    return file
