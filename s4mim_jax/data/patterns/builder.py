"""TFDS builder of the patterns. In a module and folder of its own, as TFDS asks."""

from s4mim_jax.data.patterns.scene import CLASSES, draw
from s4mim_jax.data.shapes.builder import Drawn


class Patterns(Drawn):
    """Procedurally drawn figures and textures, none of which `shapes` has."""

    TITLE, CLASSES, DRAW = 'patterns', CLASSES, staticmethod(draw)
    # Number of the random stream and of examples.
    SPLITS = {'train': (10, 4096), 'val': (11, 128)}
