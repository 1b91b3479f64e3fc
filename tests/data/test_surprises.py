"""Labels that are mostly ignored, and images that are trained on and held out: told at the start."""

import os

import pytest
from dataset_trees import data_config, write_folder, write_mask

from s4mim_jax.data import check_samples, label_notes, open_source, training_split
from s4mim_jax.data.check.surprises import ignored_share


def notes(root, **settings):
    source = open_source(data_config('folder', root, **settings))
    labeled = training_split(source, 'all', 0).labeled
    table = check_samples(source, labeled)
    return ignored_share(source, labeled), label_notes(source, labeled, table)


def test_the_share_of_ignored_pixels(tmp_path):
    share, lines = notes(write_folder(tmp_path))  # values 0, 1, 2, 255 in turn
    assert share == pytest.approx(0.25) and 'ignored pixels: 25.0% of the 6 labelled masks' in lines
    assert not any('WARNING' in line for line in lines)


def test_more_than_half_is_a_warning(tmp_path):
    root = write_folder(tmp_path)
    for i in range(6):
        write_mask(root / f'masks/train/t{i}.png', [0, 1, 2, *[255] * 5])
    share, lines = notes(root)
    assert share == pytest.approx(0.625, abs=0.01)
    assert any(line.startswith('WARNING: ignored pixels: 62.5%') and 'label_map=0:0,255:1' in line for line in lines)
    share, lines = notes(root, label_map='0:0,1:1,2:2,255:0')
    assert share == 0 and not any('ignored' in line for line in lines)


@pytest.mark.parametrize('link', [os.link, lambda a, b: os.symlink(os.path.abspath(a), b)])
def test_held_out_images_that_are_trained_on(tmp_path, link):
    root = write_folder(tmp_path)
    (root / 'images/val/v1.jpg').unlink()
    link(root / 'images/train/t3.jpg', root / 'images/val/v1.jpg')
    lines = notes(root)[1]
    said = 'WARNING: 1 images of val are training images too, by links or lists, e.g. '
    assert f'{said}{root}/images/train/t3.jpg' in lines
