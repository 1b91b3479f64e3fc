"""The embedded dataset: the same pixels everywhere, all classes, safe to build twice at once."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from dataset_trees import data_config
from PIL import Image

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import check_samples, open_source, training_split
from s4mim_jax.data.files.images import decode_image
from s4mim_jax.data.files.mask_file import decode_mask
from s4mim_jax.data.shapes import builder
from s4mim_jax.data.shapes.chance import Chance, hsv, value_noise, wave
from s4mim_jax.data.shapes.scene import CLASSES, PALETTE, SIZE, draw

# Of the pixels and labels of twelve examples. It changes only with Shapes.VERSION.
DIGEST = 'e872963871bb4474a747212e3a2a2ac79429bc43b554eb13d0a32760f47c219b'


@pytest.fixture
def few(monkeypatch):
    """Fewer examples, so that building takes a moment."""
    counts = {'train': (0, 12), 'val': (1, 2), 'test': (2, 3)}
    monkeypatch.setattr(builder.Shapes, 'SPLITS', counts)


def test_the_same_pixels_everywhere():
    digest = hashlib.sha256()
    for split in (0, 1, 2):
        for index in range(4):
            image, label = draw(split, index)
            assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
            assert label.shape == (SIZE, SIZE) and label.dtype == np.uint8
            digest.update(image.tobytes() + label.tobytes())
    assert digest.hexdigest() == DIGEST


def test_random_numbers_are_fixed():
    units = Chance(3, 4).units(3)
    np.testing.assert_array_equal(units, Chance(3, 4).units(3))
    assert (units * 2**53).astype(np.int64).tolist() == [8876319568758014, 6714189576362068, 1846609688789870]
    assert Chance(3, 5).units(1)[0] != units[0] and Chance(4, 4).units(1)[0] != units[0]


def test_chance_draws_what_it_says():
    chance = Chance(9, 9)
    picks = [chance.pick({'a': 3, 'b': 1}) for _ in range(400)]
    assert 0.68 < picks.count('a') / 400 < 0.82
    assert {chance.integer(2, 4) for _ in range(60)} == {2, 3, 4}
    turns = np.array([chance.rotation() for _ in range(400)])
    np.testing.assert_allclose((turns**2).sum(1), 1, atol=1e-12)
    assert abs(turns.mean(0)).max() < 0.12  # all round


def test_fields():
    noise = value_noise(Chance(0, 0), 32, 4)
    assert noise.shape == (32, 32) and 0 <= noise.min() < 0.3 and 0.7 < noise.max() <= 1
    assert abs(np.diff(noise, axis=0)).max() < 0.25  # smooth: a cell is eight pixels wide
    np.testing.assert_allclose(wave(np.array([0, 0.25, 0.5, 1.75, -1])), [0, 0.5, 1, 0.5, 0])
    np.testing.assert_allclose(hsv(1 / 3, 1, 0.5), [0, 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(hsv(1.0 + 1 / 12, 0.5, 1), [1, 0.75, 0.5], atol=1e-6)


def test_what_is_in_the_pictures():
    labels = np.stack([draw(0, i)[1] for i in range(100)])
    shares = np.bincount(labels.ravel(), minlength=len(CLASSES)) / labels.size
    present = np.array([[c in label for c in range(len(CLASSES))] for label in labels]).mean(0)
    assert len(CLASSES) == len(PALETTE) == 10 and len(shares) == 10
    assert 0.5 < shares[0] < 0.8
    bug, wire = CLASSES.index('bug'), CLASSES.index('wire')
    assert 0.0004 < shares[bug] < 0.004 and 0.08 < present[bug] < 0.3  # small and rare
    assert 0.005 < shares[wire] < 0.04 and present[wire] > 0.25  # thin
    others = [c for c in range(1, 10) if c not in (bug, wire)]
    assert shares[others].min() > 0.02 and shares[others].max() < 0.1


def test_open_builds_once_and_reads_what_was_drawn(tmp_path, few, monkeypatch):
    source = open_source(data_config('shapes', tmp_path / 'made'))
    assert {k: len(v) for k, v in source.splits.items()} == {'train': 12, 'val': 2, 'test': 3}
    for split, number in (('train', 0), ('test', 2)):
        for index, sample in enumerate(source.splits[split]):
            image, label = draw(number, index)
            np.testing.assert_array_equal(decode_image(source.read_bytes(sample.image), 'x'), image)
            np.testing.assert_array_equal(decode_mask(source.read_bytes(sample.mask), 'x'), label)
    table = check_samples(source, source.splits['train'])
    row = table[source.splits['train'][0]]
    assert (row.height, row.width, row.kind, row.mask_kind) == (96, 96, 'png8', 'gray8')
    assert len(training_split(source, 'seeded:1/4', 0).labeled) == 3
    left = sorted(path.name for path in (tmp_path / 'made').iterdir())
    assert left == ['.lock', 'shapes']

    def never(*_):
        raise AssertionError('drawn again')
    monkeypatch.setattr(builder.Shapes, 'DRAW', staticmethod(never))
    assert open_source(data_config('shapes', tmp_path / 'made')).splits == source.splits


def test_damaged_or_other_dataset_is_named(tmp_path, few, monkeypatch):
    open_source(data_config('shapes', tmp_path))
    monkeypatch.setattr(builder.Shapes, 'SPLITS', {'train': (0, 13), 'val': (1, 2), 'test': (2, 3)})
    with pytest.raises(InputError, match='shapes/1.0.0: holds .*12.*\ndelete this folder'):
        open_source(data_config('shapes', tmp_path))
    for path in (tmp_path / 'shapes/1.0.0').glob('*train*'):
        path.write_bytes(b'')
    with pytest.raises(InputError, match='shapes/1.0.0: damaged.*\ndelete this folder'):
        open_source(data_config('shapes', tmp_path))


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='file/shapes: cannot be written'):
        open_source(data_config('shapes', tmp_path / 'file/shapes'))


BUILD = '''
import sys
from dataset_trees import data_config
from s4mim_jax.data import open_source
from s4mim_jax.data.shapes import builder
builder.Shapes.SPLITS = {'train': (0, 40), 'val': (1, 1), 'test': (2, 1)}
source = open_source(data_config('shapes', sys.argv[1]))
print(len(source.read_bytes('train/39/image')))
'''


def test_two_processes_build_at_once(tmp_path):
    command = [sys.executable, '-c', f'import sys; sys.path[:0] = {sys.path!r}\n{BUILD}',
               str(tmp_path / 'shapes')]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)]
    results = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    assert results[0][0] == results[1][0] and int(results[0][0]) > 1000


def test_reading_from_many_threads(tmp_path, few):
    from concurrent.futures import ThreadPoolExecutor
    source = open_source(data_config('shapes', tmp_path))
    keys = [sample.image for sample in source.splits['train']] * 20
    with ThreadPoolExecutor(16) as pool:
        threaded = list(pool.map(source.read_bytes, keys))
    assert threaded == [source.read_bytes(key) for key in keys]


def test_sheet(tmp_path):
    from s4mim_jax.data.shapes.picture import sheet
    pixels = sheet(1, 2)
    image, label = draw(0, 1)
    np.testing.assert_array_equal(pixels[:96, 96:], image)
    np.testing.assert_array_equal(pixels[96:, 96:], np.array(PALETTE, np.uint8)[label])
    Image.fromarray(pixels).save(tmp_path / 'sheet.png')
    assert pixels.shape == (192, 192, 3)
