"""Lines of split lists: whatever way they name an image, it is that image, and held-out ones are never trained on."""

import os
import unicodedata

import pytest
from dataset_trees import data_config, write_folder, write_image, write_lists, write_mask, write_voc

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import check_samples, open_source, training_split


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / 'data set')


def split_of(root, labeled, unlabeled=None, **settings):
    write_lists(root, 'x', labeled, unlabeled or ['t5'])
    return training_split(open_source(data_config('folder', root, **settings)), 'x', 0)


def ids(samples):
    return [sample.id for sample in samples]


@pytest.mark.parametrize('line', [
    './images/train/t0.jpg', 'images//train/t0.jpg', 'images/val/../train/t0.jpg', './/t0',
    '{root}/images/train/t0.jpg', 'link/train/t0.jpg', '/mnt/other/data/images/train/t0.jpg',
    'images\\train\\t0.jpg', 'D:\\data\\images\\train\\t0.jpg',
    'images/train/t0.jpg\tmasks/train/t0.png', './images/train/t0.jpg ./masks/train/t0.png',
    '/mnt/other/images/train/t0.jpg /mnt/other/masks/train/t0.png', 'hard.jpg masks/train/t0.png'])
def test_every_spelling_is_one_image(root, line):
    (root / 'link').symlink_to('images')
    os.link(root / 'images/train/t0.jpg', root / 'hard.jpg')
    split = split_of(root, [line.format(root=root), 't0'])
    assert ids(split.labeled) == ['t0'] and split.labeled[0].image == str(root / 'images/train/t0.jpg')
    assert split.labeled[0].mask == str(root / 'masks/train/t0.png')


@pytest.mark.parametrize('line', [
    './images/val/v0.jpg', 'images//test/t0.jpg', 'images/train/../val/v1.jpg', '{root}/images/val/v0.jpg',
    'link/val/v0.jpg', 'copy.jpg', 'hard.jpg', './images/val/v0.jpg ./masks/val/v0.png'])
@pytest.mark.parametrize('labeled', [True, False])
def test_no_spelling_leaks_what_is_held_out(root, line, labeled):
    (root / 'link').symlink_to('images')
    (root / 'copy.jpg').symlink_to('images/val/v0.jpg')
    os.link(root / 'images/val/v0.jpg', root / 'hard.jpg')
    line = line.format(root=root)
    if labeled and ' ' not in line.removeprefix(str(root)):
        line += ' masks/train/t0.png'
    with pytest.raises(InputError, match='belong to val or test'):
        split_of(root, [line] if labeled else ['t0'], None if labeled else [line])


def test_labelled_and_unlabelled_lists_are_compared_as_files(root):
    (root / 'images/also').symlink_to('train')
    with pytest.raises(InputError, match="1 ids are in x_labeled.txt too, e.g. 't0'"):
        split_of(root, ['t0'], ['./images/also/t0.jpg', 't1'])


def test_a_foreign_path_is_matched_by_its_longest_end(root):
    write_image(root / 'images/train/b/t0.jpg', seed=8)
    write_mask(root / 'masks/train/b/t0.png', [0, 1])
    assert ids(split_of(root, ['/mnt/old/images/train/b/t0.png']).labeled) == ['b/t0']
    assert ids(split_of(root, ['/mnt/old/train/t0.png']).labeled) == ['t0']
    with pytest.raises(InputError, match=r"1 of 1 lines have no image, e.g. '/mnt/old/c/t0.png'"):
        split_of(root, ['/mnt/old/c/t0.png'])  # the last word alone


def test_a_name_that_fits_several_images_is_refused(root):
    for camera in ('left', 'right'):
        write_image(root / f'images/train/{camera}/day/x.jpg', seed=8)
        write_mask(root / f'masks/train/{camera}/day/x.png', [0, 1])
    with pytest.raises(InputError, match=r"line 1: '/old/day/x' fits .*left/day/x.jpg and .*right/day/x.jpg"):
        split_of(root, ['/old/day/x.jpg'])


def test_a_named_mask_that_does_not_exist_is_refused(root):
    with pytest.raises(InputError, match=r"2: 'masks_v2/t1.png', the mask of 't1', does not exist .there is .*t1.png"):
        split_of(root, ['t0', 'images/train/t1.jpg masks_v2/t1.png'])
    split = split_of(root, ['t0'], ['images/train/t1.jpg masks_v2/t1.png'])  # watched only
    assert split.unlabeled[0].mask is None


def test_the_image_named_twice_has_no_mask(root):
    """UniMatch's way for images without masks."""
    for second in ('images/train/t1.jpg', './images/train/t1.jpg'):
        split = split_of(root, ['t0'], [f'images/train/t1.jpg {second}', 't2 t2'])
        assert [s.mask for s in split.unlabeled] == [None, None]
        check_samples(open_source(data_config('folder', root)), split.unlabeled)
    with pytest.raises(InputError, match='x_labeled.txt: 1 of 1 lines have no mask'):
        split_of(root, ['images/train/t0.jpg images/train/t0.jpg'])


def test_columns_in_the_other_order_are_refused(root):
    with pytest.raises(InputError, match='t0.png is a mask, and stands where an image belongs'):
        split_of(root, ['masks/train/t0.png images/train/t0.jpg'])


def test_one_image_with_two_masks_is_refused(root):
    with pytest.raises(InputError, match='another mask than an earlier line'):
        split_of(root, ['t0', 'images/train/t0.jpg masks/train/t1.png'])


def test_blanks_in_names(root):
    write_image(root / 'images/train/day 2/a photo.jpg', seed=8)
    write_mask(root / 'masks/train/day 2/a photo.png', [0, 1])
    for line in ('day 2/a photo', 'images/train/day 2/a photo.jpg',
                 'images/train/day 2/a photo.jpg masks/train/day 2/a photo.png'):
        assert ids(split_of(root, [line]).labeled) == ['day 2/a photo']


def test_forms_of_unicode(root):
    for form in ('NFC', 'NFD'):
        name = unicodedata.normalize(form, f'Straße ä {form}')
        write_image(root / f'images/train/{name}.jpg', seed=8)
        write_mask(root / f'masks/train/{name}.png', [0, 1])
        for typed in ('NFC', 'NFD'):
            lines = [unicodedata.normalize(typed, line) for line in
                     (name, f'images/train/{name}.jpg masks/train/{name}.png')]
            assert ids(split_of(root, lines).labeled) == [unicodedata.normalize('NFC', name)]


def test_a_near_id_is_named(root):
    with pytest.raises(InputError, match="'T4'.*\n.*") as caught:
        split_of(root, ['T4'])
    assert "near is 't" not in str(caught.value) or 't4' in str(caught.value)
    write_image(root / 'images/train/frame_000123.jpg')
    with pytest.raises(InputError, match="near is 'frame_000123'"):
        split_of(root, ['frame_00123'])


def test_voc_lists_name_masks_of_either_folder(tmp_path):
    """Public lists say SegmentationClass for the masks of the augmented set too; a third folder is a mistake."""
    write_voc(tmp_path)
    os.rename(tmp_path / 'SegmentationClass', tmp_path / 'SegmentationClassAug')
    source = open_source(data_config('voc', tmp_path))
    write_lists(tmp_path, 'a', ['JPEGImages/2007_1.jpg SegmentationClass/2007_1.png'], ['2007_2'])
    assert training_split(source, 'a', 0).labeled[0].mask.endswith('SegmentationClassAug/2007_1.png')
    write_lists(tmp_path, 'b', ['JPEGImages/2007_1.jpg Corrected/2007_1.png'], ['2007_2'])
    with pytest.raises(InputError, match="'Corrected/2007_1.png', the mask of '2007_1', does not exist"):
        training_split(source, 'b', 0)
