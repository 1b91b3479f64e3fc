"""The pictures of the pretrained start: the same everywhere, every class there, and none of those of `shapes`."""

import hashlib

import numpy as np
from dataset_trees import data_config

from s4mim_jax.data import open_source
from s4mim_jax.data.patterns import figures, textures
from s4mim_jax.data.patterns.builder import Patterns
from s4mim_jax.data.patterns.scene import CLASSES, FIGURES, GROUNDS, SURFACES, TEXTURES, draw, palette
from s4mim_jax.data.shapes import builder
from s4mim_jax.data.shapes import scene as shapes
from s4mim_jax.data.shapes import textures as textures_of_shapes

DIGEST = '352d9e69ef01dab71e185096b0bc40b16faf8787848fd6c269dc1e8af8c29130'


def test_the_same_pixels_everywhere():
    digest = hashlib.sha256()
    for index in range(6):
        image, label = draw(10, index)
        assert image.shape == (96, 96, 3) and label.shape == (96, 96) and image.dtype == label.dtype == np.uint8
        digest.update(image.tobytes() + label.tobytes())
    assert digest.hexdigest() == DIGEST


def test_nothing_of_shapes_is_drawn():
    """No figure, no texture of an object or of the ground, no class and no random stream is that of `shapes`."""
    assert not set(CLASSES[1:]) & set(shapes.CLASSES)
    theirs = {getattr(textures_of_shapes, name) for kind in shapes.KINDS.values() for name in
              (pattern.__name__ for pattern in kind.patterns)} | set(shapes.GROUNDS)
    assert not (set(SURFACES) | set(GROUNDS)) & theirs
    assert all(function.__module__ == textures.__name__ for function in (*SURFACES, *GROUNDS))
    assert all(getattr(figures, name).__module__ == figures.__name__ for name in FIGURES)
    streams = lambda dataset: {stream for stream, _ in dataset.SPLITS.values()}
    assert not streams(Patterns) & (streams(builder.Shapes) | streams(builder.ShapesLarge))


def test_every_class_occurs_and_has_a_colour_of_its_own():
    seen, index = set(), 0
    while len(seen) < len(CLASSES) and index < 150:
        seen |= set(np.unique(draw(11, index)[1]).tolist())
        index += 1
    assert seen == set(range(len(CLASSES))) and len(CLASSES) == 1 + len(FIGURES) + len(TEXTURES)
    assert len(set(palette())) == len(CLASSES)


def test_it_opens_like_any_dataset(tmp_path, monkeypatch):
    monkeypatch.setattr(Patterns, 'SPLITS', {'train': (10, 3), 'val': (11, 1)})
    source = open_source(data_config('patterns', tmp_path / 'patterns'))
    assert source.classes == CLASSES and [len(source.splits[s]) for s in ('train', 'val')] == [3, 1]
    assert source.read_bytes(source.splits['train'][2].mask)[:4] == b'\x89PNG'


def test_the_large_test_split_begins_with_that_of_shapes(tmp_path, monkeypatch):
    monkeypatch.setattr(builder.Shapes, 'SPLITS', {'train': (0, 1), 'val': (1, 1), 'test': (2, 1)})
    monkeypatch.setattr(builder.ShapesLarge, 'SPLITS', {'test': (builder.ShapesLarge.SPLITS['test'][0], 2)})
    small, large = (open_source(data_config(name, tmp_path / name)) for name in ('shapes', 'shapes_large'))
    assert list(large.splits) == ['test'] and large.classes == small.classes
    read = lambda source: [source.read_bytes(sample.image) for sample in source.splits['test']]
    assert read(small) == read(large)[:1] and len(read(large)) == 2
