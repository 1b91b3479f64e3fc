"""Reader `patterns`: opens the pictures of the pretrained start and draws them on first use."""

from pathlib import Path

from s4mim_jax.data.patterns.builder import Patterns
from s4mim_jax.data.patterns.scene import palette
from s4mim_jax.data.shapes.reader import open_drawn
from s4mim_jax.data.source import Source


def open_patterns(folder: Path, data) -> Source:
    """Opens the dataset in `folder`, which is made when it is not there; errors as in `open_shapes`."""
    return open_drawn(Patterns, palette(), folder, data)
