"""Which files of a folder are used, which mask belongs to which image, and what is said of all the others."""

import os
import unicodedata

import numpy as np
import pytest
from dataset_trees import data_config, write_coco, write_folder, write_image, write_mask

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import evaluation_split, open_source, training_split
from s4mim_jax.data.files.left_out import SHOWN, LeftOut, Tally, as_lines
from s4mim_jax.data.files.listing import list_files


def opened(root, **settings):
    return open_source(data_config('folder', root, **settings))


def told(source):
    """what -> (count, example) over all folders."""
    return {entry.what: (entry.count, entry.example) for entry in source.left_out}


def test_a_clean_dataset_leaves_nothing_out(tmp_path):
    assert opened(write_folder(tmp_path)).left_out == () and as_lines(()) == []


def test_other_suffixes_hidden_and_system_files_are_counted(tmp_path):
    write_folder(tmp_path)
    train = tmp_path / 'images/train'
    for name in ('a.webp', 'b.WEBP', 'c.heic', 'README', '._t0.jpg', '.DS_Store', 'Thumbs.db'):
        (train / name).write_bytes(b'?')
    for folder in ('@eaDir', '__MACOSX', '.AppleDouble', '.ipynb_checkpoints'):
        write_image(train / folder / 'x.jpg')
    (tmp_path / 'masks/train/t1.gif').write_bytes(b'?')
    source = opened(tmp_path)
    assert len(source.splits['train']) == 6
    assert told(source) == {'files ending in .webp': (2, 'a.webp'), 'files ending in .heic': (1, 'c.heic'),
                            'files without a suffix': (1, 'README'), 'files ending in .gif': (1, 't1.gif'),
                            'hidden or system files and folders': (7, '.AppleDouble')}
    lines = as_lines(source.left_out)
    assert f'not used: {train}: 2 files ending in .webp, e.g. a.webp' in lines


def test_folders_that_are_no_split_are_told_or_refused(tmp_path):
    write_folder(tmp_path)
    write_image(tmp_path / 'images/valid/x.jpg')
    write_image(tmp_path / 'images/loose.jpg')
    assert told(opened(tmp_path)) == {'entries beside train, val, test': (2, 'loose.jpg')}
    for split in ('train', 'val', 'test'):
        os.rename(tmp_path / 'images' / split, tmp_path / 'images' / f'{split}ing')
    with pytest.raises(InputError, match='testing is none of the splits train, val, test'):
        opened(tmp_path)


def test_links_are_followed_and_every_real_image_counts_once(tmp_path):
    root, elsewhere = write_folder(tmp_path / 'data'), tmp_path / 'elsewhere'
    train = root / 'images/train'
    write_image(elsewhere / 'e.jpg')
    write_image(train / 'deep/d.jpg')
    (train / 'aaa').symlink_to('deep')  # another way to what is no link
    (train / 'more').symlink_to(elsewhere)
    (train / 'again.jpg').symlink_to('t0.jpg')
    (train / 'train').symlink_to(train)  # into itself
    (train / 'root').symlink_to(root)  # above itself, with val and test in it
    (train / 'gone.jpg').symlink_to(tmp_path / 'nowhere.jpg')
    (elsewhere / 'back').symlink_to(train)  # by a detour
    source = opened(root)
    assert [s.id for s in source.splits['train']] == ['deep/d', 'more/e', 't0', 't1', 't2', 't3', 't4', 't5']
    assert told(source) == {'links to a folder that holds them': (3, 'root'),
                            'links to files and folders that are read already': (2, 'aaa'),
                            'links that lead nowhere': (1, 'gone.jpg')}


def test_masks_may_share_a_file_but_not_a_loop(tmp_path):
    """A fixed camera: one mask for many images."""
    root = write_folder(tmp_path)
    for i in range(1, 6):
        (root / f'masks/train/t{i}.png').unlink()
        (root / f'masks/train/t{i}.png').symlink_to('t0.png')
    (root / 'masks/train/loop').symlink_to('.')
    source = opened(root)
    assert all(s.mask for s in source.splits['train'])
    assert told(source) == {'links to a folder that holds them': (1, 'loop')}


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read everything')
def test_a_folder_that_may_not_be_read_is_refused(tmp_path):
    write_folder(tmp_path)
    write_image(tmp_path / 'images/train/closed/x.jpg')
    os.chmod(tmp_path / 'images/train/closed', 0)
    with pytest.raises(InputError, match='closed .Permission denied.: a folder of the dataset that may not be read'):
        opened(tmp_path)


@pytest.mark.parametrize('image, mask', [
    ('a', 'a_mask'), ('a', 'A'), ('IMG_7', 'img_7_GT'), ('a', 'a_anno'), ('a', 'a-label'), ('a', 'a.labels'),
    ('x/a', 'x/a_seg'), ('a', 'a.jpg'), ('a', 'a.JPG_mask'), ('a_sat', 'a_mask'), ('0001', '0001_L'),
    (unicodedata.normalize('NFD', 'Größe'), unicodedata.normalize('NFC', 'größe_Mask'))])
@pytest.mark.parametrize('suffix', ['.png', '.bmp'])
def test_masks_of_other_names_are_found(tmp_path, image, mask, suffix):
    write_folder(tmp_path)
    write_image(tmp_path / f'images/train/{image}.jpg', seed=9)
    content = write_mask(tmp_path / f'masks/train/{mask}{suffix}', [0, 1, 2])
    source = opened(tmp_path)
    sample = next(s for s in source.splits['train'] if s.id == unicodedata.normalize('NFC', image))
    assert sample.mask == str(tmp_path / f'masks/train/{mask}{suffix}') and source.left_out == ()
    np.testing.assert_array_equal(np.unique(content), [0, 1, 2])


def test_the_same_name_wins_and_a_mask_belongs_to_one_image(tmp_path):
    write_folder(tmp_path)
    for name in ('T0', 't0_mask'):
        write_mask(tmp_path / f'masks/train/{name}.png', [1])
    write_image(tmp_path / 'images/train/T1.jpg')  # beside t1.jpg, whose mask it may not take
    source = opened(tmp_path)
    masks = {s.id: s.mask and os.path.basename(s.mask) for s in source.splits['train']}
    assert masks['t0'] == 't0.png' and masks['t1'] == 't1.png' and masks['T1'] is None
    assert told(source)['masks without an image of that name'] == (2, 'T0')


def test_names_that_leave_a_choice_are_refused(tmp_path):
    write_folder(tmp_path)
    write_image(tmp_path / 'images/train/new.jpg')
    for name in ('new_mask', 'new_gt'):
        write_mask(tmp_path / f'masks/train/{name}.png', [1])
    with pytest.raises(InputError, match='new_gt.png, .*new_mask.png and the images new fit each other'):
        opened(tmp_path)


def test_a_mask_that_is_not_found_is_told_with_what_lies_near(tmp_path):
    write_folder(tmp_path)
    os.rename(tmp_path / 'masks/val/v0.png', tmp_path / 'masks/val/v0_ground.png')
    source = opened(tmp_path)
    count, example = told(source)['images whose mask was not found']
    assert count == 1 and example.startswith('v0 (looked for ID, ID_mask, ') and 'near is v0_ground' in example
    with pytest.raises(InputError, match=r'v0.jpg; looked for ID, ID_mask, .*near is v0_ground') as caught:
        evaluation_split(source, 'val')
    assert len(str(caught.value).splitlines()) <= 3


def test_masks_beside_their_images(tmp_path):
    """As some medical sets are packed: x.bmp and x_anno.bmp in one folder."""
    for i in range(3):
        write_image(tmp_path / f'images/train/p{i}.bmp', seed=i)
        write_mask(tmp_path / f'images/train/p{i}_anno.bmp', [0, 1])
    (tmp_path / 'classes.txt').write_text('0 ground\n1 gland\n')
    (tmp_path / 'masks').mkdir()
    source = opened(tmp_path)
    assert [(s.id, os.path.basename(s.mask)) for s in source.splits['train']] == [
        (f'p{i}', f'p{i}_anno.bmp') for i in range(3)]
    assert told(source) == {'files taken as masks of the images beside them': (3, 'p0_anno')}
    assert len(training_split(source, 'all', 0).labeled) == 3


def test_two_spellings_of_one_id(tmp_path):
    for form in ('NFC', 'NFD'):
        write_image(tmp_path / f'{unicodedata.normalize(form, "é")}.jpg')
    with pytest.raises(InputError, match="two files have the id 'é'"):
        list_files(tmp_path, ('.jpg',))


def test_official_layouts_tell_too(tmp_path):
    write_coco(tmp_path)
    (tmp_path / 'train2017/x.webp').write_bytes(b'?')
    write_mask(tmp_path / 'masks/000000000077.png', [0])
    source = open_source(data_config('coco', tmp_path))
    assert told(source) == {'files ending in .webp': (1, 'x.webp'),
                            'masks without an image of that name': (1, '000000000077')}


def test_long_lists_are_cut(tmp_path):
    entries = [LeftOut(1, f'kind {i}', 'there', 'x') for i in range(SHOWN + 3)]
    assert len(as_lines(entries)) == SHOWN + 1 and as_lines(entries)[-1].startswith('and 3 more kinds')
    assert Tally(tmp_path).result() == ()
