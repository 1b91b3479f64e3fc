"""Masks whose classes are colours, from classes.txt to class ids."""

import numpy as np
import pytest
from dataset_trees import data_config, write_image
from PIL import Image

from s4mim_jax import data
from s4mim_jax.config.errors import InputError
from s4mim_jax.data.samples import read_label

COLORS = np.array([[0, 0, 0], [0, 200, 0], [250, 10, 30]], np.uint8)
LINES = '0 ground 0 0 0\n1 leaf 0 200 0\n2 stone 250 10 30\n255 void 255 255 255\n255 border 128 128 128\n'


def write(root, number, ids, colors=COLORS):
    """An RGB mask of ids [12, 16]; 255 is white, 254 the second colour of void."""
    table = np.zeros((256, 3), np.uint8)
    table[:3], table[254], table[255] = colors, (128, 128, 128), (255, 255, 255)
    write_image(root / f'images/train/{number}.png', seed=number)
    path = root / f'masks/train/{number}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(table[ids]).save(path)


def folder(root, lines=LINES):
    ids = np.random.default_rng(0).choice([0, 1, 2, 254, 255], (2, 12, 16)).astype(np.uint8)
    for number in range(2):
        write(root, number, ids[number])
    (root / 'classes.txt').write_text(lines)
    return np.where(ids == 254, 255, ids)


def opened(root, **settings):
    source = data.open_source(data_config('folder', root, **settings))
    return source, source.splits['train']


def test_colours_become_class_ids(tmp_path):
    expected = folder(tmp_path)
    source, samples = opened(tmp_path)
    table = data.check_samples(source, samples)
    for sample, ids in zip(samples, expected):
        np.testing.assert_array_equal(read_label(source, sample), ids)
        assert table[sample].classes == (0, 1, 2)
    data.check_samples(*opened(tmp_path))  # from the cache
    mapped, samples = opened(tmp_path, label_map='0:0,1:1,2:1')
    np.testing.assert_array_equal(read_label(mapped, samples[0]), np.where(expected[0] == 2, 1, expected[0]))


def test_unknown_colours_are_counted_over_all_masks(tmp_path):
    folder(tmp_path)
    for number, count in ((2, 5), (3, 7)):
        write(tmp_path, number, np.zeros((12, 16), np.uint8))
        path = tmp_path / f'masks/train/{number}.png'
        pixels = np.array(Image.open(path))
        pixels.reshape(-1, 3)[:count] = 1, 2, 3
        pixels[-1, -1] = 9, number, 9
        Image.fromarray(pixels).save(path)
    for _ in range(2):  # from the files, and from the cache
        with pytest.raises(InputError, match=r'(?s)not list: \(1, 2, 3\): 12 pixels in 2 mask\(s\), e.g. \S*2.png; '
                                             r'\(9, 2, 9\): 1 pixels in 1 mask\(s\).*255 void r g b'):
            data.check_samples(*opened(tmp_path))
    # A line more in classes.txt is a table of its own, which the cache must not answer for.
    (tmp_path / 'classes.txt').write_text(LINES + '255 more 1 2 3\n255 more 9 2 9\n255 more 9 3 9\n')
    data.check_samples(*opened(tmp_path))


@pytest.mark.parametrize('lines, message', [
    (LINES.replace(' 0 200 0', ''), r"gives class 'leaf' no colour"),
    (LINES.replace('250 10 30', '0 0 0'), r'gives the colour \(0, 0, 0\) to the ids 0 and 2'),
    (LINES.replace('250 10 30', '250 10 300'), 'line 3'),
    (None, 'there is no classes.txt with colours')])
def test_a_bad_colour_table_is_named(tmp_path, lines, message):
    folder(tmp_path, lines or LINES)
    if lines is None:
        (tmp_path / 'classes.txt').unlink()
    with pytest.raises(InputError, match=message):
        data.check_samples(*opened(tmp_path))


def test_a_bad_colour_table_harms_no_gray_mask(tmp_path):
    folder(tmp_path, LINES.replace('250 10 30', '0 0 0'))
    for path in (tmp_path / 'masks/train').iterdir():
        Image.fromarray(np.zeros((12, 16), np.uint8)).save(path)
    data.check_samples(*opened(tmp_path))


def test_palettes_in_another_order_are_read_by_colour(tmp_path):
    expected = folder(tmp_path)
    for path, ids in zip(sorted((tmp_path / 'masks/train').iterdir()), expected):
        indexed = Image.fromarray(np.where(ids == 255, 3, (ids + 1) % 3).astype(np.uint8))  # another order
        indexed.putpalette(np.concatenate([np.roll(COLORS, 1, 0), [[255, 255, 255]]]).astype(np.uint8).tobytes())
        indexed.save(path)
    with pytest.raises(InputError, match='mask values 3'):
        data.check_samples(*opened(tmp_path, mask_colors='never'))
    for how in ('auto', 'always'):  # the palette contradicts classes.txt
        source, samples = opened(tmp_path, mask_colors=how)
        data.check_samples(source, samples)
        np.testing.assert_array_equal(read_label(source, samples[0]), expected[0])


def test_colours_may_be_switched_off(tmp_path):
    folder(tmp_path)
    with pytest.raises(InputError, match='mask is a colour image'):
        data.check_samples(*opened(tmp_path, mask_colors='never'))
