"""Predictions as outlines of annotation tools, and back through the readers of those tools."""

import json
import re

import label_exports
import numpy as np
import pytest
from dataset_trees import data_config
from PIL import Image

from s4mim_jax import data
from s4mim_jax.config.errors import InputError
from s4mim_jax.data.label_formats.outlines import outlines, simplified
from s4mim_jax.data.label_formats.regions import fill
from s4mim_jax.data.samples import read_label
from s4mim_jax.prediction.polygon_files import PolygonFiles
from s4mim_jax.prediction.pseudo_label_files import PseudoLabels

CLASSES = ('background', 'leaf', 'bug')


def painted(shapes, size, unpainted):
    found = np.full(size, unpainted, np.uint8)
    for label, points in shapes:
        found[fill(np.array(points), size)] = label
    return found


def maps():
    """Noise has saddles, holes in holes and single pixels; blocks have long edges."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 3, (23, 31)).astype(np.uint8)
    blocks = np.kron(rng.integers(0, 3, (4, 5)), np.ones((6, 7))).astype(np.uint8)
    rings = np.zeros((21, 21), np.uint8)
    for inset, value in ((1, 2), (3, 0), (5, 1), (7, 255), (9, 2)):
        rings[inset:21 - inset, inset:21 - inset] = value
    return {'noise': noise, 'blocks': blocks, 'rings': rings, 'one': np.full((4, 5), 2, np.uint8)}


@pytest.mark.parametrize('unpainted', [0, 255])
@pytest.mark.parametrize('name', maps())
def test_exact_outlines_paint_the_same_map(name, unpainted):
    ids = maps()[name]
    np.testing.assert_array_equal(painted(outlines(ids, unpainted), ids.shape, unpainted), ids)


def test_simplified_outlines_stay_within_the_tolerance():
    y, x = np.mgrid[:120, :160]
    ids = ((x - 70) ** 2 + (y - 60) ** 2 < 45 ** 2).astype(np.uint8)
    ids[5, 5] = 1  # a speck
    exact, coarse = outlines(ids, 0), outlines(ids, 0, 1.0)
    assert len(exact) == 2 and len(coarse) == 1 and len(coarse[0][1]) < len(exact[0][1]) / 4
    wrong = painted(coarse, ids.shape, 0) != ids
    rim = np.hypot(x - 70, y - 60)[wrong & (x + y > 20)]
    assert wrong.mean() < 0.01 and np.abs(rim - 45).max() < 2.0
    square = np.array([(0, 0), (5, 0), (10, 0), (10, 10), (0, 10)])
    assert simplified(square, 0.5).tolist() == [[0, 0], [10, 0], [10, 10], [0, 10]]


@pytest.mark.parametrize('kind', ['labelme', 'coco'])
def test_written_outlines_are_labels_of_the_next_run(kind, tmp_path):
    """Corrected or not: the files lie beside the images, and `folder` reads what was predicted."""
    images = {name: label_exports.picture(tmp_path / 'set' / f'{name}.jpg', i) for i, name in enumerate(('a', 'b'))}
    ids = {'a': label_exports.truth(), 'b': np.where(label_exports.truth() == 1, 255, 0).astype(np.uint8)}
    files = PolygonFiles(kind, tmp_path / 'set', CLASSES, images, tolerance=0)
    for name, value in ids.items():
        files.add(name, value)
    assert '2' in files.finish()
    source = data.open_source(data_config('folder', tmp_path / 'set'))
    assert source.classes == CLASSES and [s.id for s in source.splits['train']] == ['a', 'b']
    for sample in source.splits['train']:
        np.testing.assert_array_equal(read_label(source, sample), ids[sample.id])


def test_labelme_files_name_their_image_from_where_they_lie(tmp_path):
    image = label_exports.picture(tmp_path / 'photos/deep/a.jpg')
    (tmp_path / 'out').mkdir()
    files = PolygonFiles('labelme', tmp_path / 'out', CLASSES, {'deep/a': image})
    files.add('deep/a', label_exports.truth())
    content = json.loads((tmp_path / 'out/deep/a.json').read_text())
    assert (tmp_path / 'out/deep' / content['imagePath']).resolve() == image.resolve()
    assert [shape['label'] for shape in content['shapes']] == ['bug', 'leaf']  # ids 2 and 1, the larger first
    assert 'labelme' in files.finish() and (tmp_path / 'out/labels.txt').read_text().split()[1:] == list(CLASSES)
    with pytest.raises(InputError, match='polygon_tolerance=-1'):
        PolygonFiles('labelme', tmp_path, CLASSES, {}, -1)


def test_the_page_shows_the_least_certain_first(tmp_path):
    pseudo = PseudoLabels(tmp_path, 0.9, CLASSES, np.array([(0, 0, 0), (0, 200, 0), (200, 0, 0)], np.uint8), None)
    entries = [pseudo.write(name, np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8),
                            np.full((8, 8), value, np.float32))
               for name, value in (('sure', 0.99), ('un & sure', 0.4), ('day/half', 0.7))]
    assert 'correct.html' in pseudo.finish(entries)
    page = (tmp_path / 'correct.html').read_text()
    assert re.findall(r'<b>\d\. ([^<]+)</b>', page) == ['un &amp; sure', 'day/half', 'sure']
    for link in re.findall(r'src="([^"]+)"', page):
        from urllib.parse import unquote
        assert Image.open(tmp_path / unquote(link)).size == (8, 8)
    assert all(name in page for name in CLASSES)
