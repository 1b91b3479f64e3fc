"""ADE20K in its own layout: zero is void, official and shifted masks, names, and what can be wrong."""

import numpy as np
import pytest
from dataset_trees import data_config, write_ade20k, write_mask

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import check_samples, evaluation_split, open_source, training_split
from s4mim_jax.data.readers.ade20k import CLASSES, OBJECTS, PALETTE


def open_it(root, **settings):
    return open_source(data_config('ade20k', root, **settings))


def test_value_v_is_class_v_minus_1(tmp_path):
    folder = write_ade20k(tmp_path)
    for root in (tmp_path, folder):
        source = open_it(root)
        assert source.num_classes == 150 and source.lookup[0] == 255
        np.testing.assert_array_equal(source.lookup[1:151], np.arange(150))
        assert [s.id for s in source.splits['train']] == [f'ADE_train_{i:08d}' for i in range(1, 5)]
        assert [s.id for s in evaluation_split(source, 'test')] == ['ADE_val_00000001']
        assert check_samples(source, source.splits['train'])[source.splits['train'][0]].classes == (0, 149)


def test_names_and_colours():
    """Some of the benchmark's own table."""
    names = {0: 'wall', 1: 'building', 2: 'sky', 12: 'person', 20: 'car', 44: 'chest of drawers', 58: 'screen door',
             80: 'bus', 89: 'television', 127: 'bicycle', 130: 'screen', 136: 'traffic light', 141: 'crt screen',
             149: 'flag'}
    assert {i: CLASSES[i] for i in names} == names
    assert len(CLASSES) == len(set(CLASSES)) == 150 and len(OBJECTS) == 100
    assert PALETTE[[0, 1, 2, 12, 149]].tolist() == [[120, 120, 120], [180, 120, 120], [6, 230, 230], [150, 5, 61],
                                                   [92, 0, 255]]


def test_shifted_masks_are_recognised(tmp_path):
    """0..149 and 255, as a public download for semi-supervised learning has them."""
    write_ade20k(tmp_path, values=(0, 149, 255))
    source = open_it(tmp_path)
    np.testing.assert_array_equal(source.lookup, np.arange(256))
    assert check_samples(source, source.splits['train'])[source.splits['train'][0]].classes == (0, 149)


def test_a_single_shifted_mask_among_official_ones_is_refused(tmp_path):
    folder = write_ade20k(tmp_path, train=40)
    write_mask(folder / 'annotations/training/ADE_train_00000002.png', [0, 255])
    source = open_it(tmp_path)
    with pytest.raises(InputError, match=r'ADE_train_00000002.png: mask values 255 are outside the 150 classes\n'
                                         r'valid: 0..150;'):
        check_samples(source, source.splits['train'])


def test_all_masks_decide_which_kind_they_are(tmp_path):
    """The one that tells may be any of them; where none does, nobody guesses."""
    folder = write_ade20k(tmp_path, values=(0, 1, 2), train=70)
    with pytest.raises(InputError, match='no mask of 71 holds 255 .*\n.*label_map=1-150:0-149 .*or 0-149:0-149'):
        open_it(tmp_path)
    official, shifted = (open_it(tmp_path, label_map=text).lookup for text in ('1-150:0-149', '0-149:0-149'))
    assert official[[0, 1, 150, 151]].tolist() == [255, 0, 149, 255] and shifted[[0, 1, 149]].tolist() == [0, 1, 149]
    for value, first in ((255, 0), (150, 255)):
        write_mask(folder / 'annotations/training/ADE_train_00000043.png', [0, value])
        assert open_it(tmp_path).lookup[0] == first


def test_an_official_mask_among_shifted_ones_is_refused(tmp_path):
    folder = write_ade20k(tmp_path, values=(0, 149, 255))
    write_mask(folder / 'annotations/training/ADE_train_00000003.png', [0, 150])
    source = open_it(tmp_path)
    with pytest.raises(InputError, match='ADE_train_00000003.png: mask values 150 are outside the 150 classes'):
        check_samples(source, source.splits['train'])


def test_wrong_values_missing_masks_and_images(tmp_path):
    folder = write_ade20k(tmp_path)
    write_mask(folder / 'annotations/training/ADE_train_00000002.png', [0, 1, 151])
    (folder / 'annotations/training/ADE_train_00000003.png').unlink()
    (folder / 'annotations/training/ADE_train_00000004.png').write_bytes(b'no image')
    source = open_it(tmp_path)
    assert [s.id for s in source.splits['train'] if s.mask is None] == ['ADE_train_00000003']
    with pytest.raises(InputError, match='ADE_train_00000002.png: mask values 151 are outside'):
        check_samples(source, source.splits['train'][:3])
    with pytest.raises(InputError, match='ADE_train_00000004.png: not an image'):
        check_samples(source, source.splits['train'])
    (folder / 'images/training').rename(folder / 'images/elsewhere')
    with pytest.raises(InputError, match='images/training: no training images'):
        open_it(tmp_path)


def test_public_lists(tmp_path):
    write_ade20k(tmp_path)
    folder = tmp_path / 'splits/1_2'
    folder.mkdir(parents=True)
    for kind, numbers in (('labeled', (3, 1)), ('unlabeled', (2, 4))):
        (folder / f'{kind}.txt').write_text('\n'.join(
            f'images/training/ADE_train_{i:08d}.jpg annotations/training/ADE_train_{i:08d}.png' for i in numbers))
    split = training_split(open_it(tmp_path), '1_2', 0)
    assert [s.id for s in split.labeled] == ['ADE_train_00000001', 'ADE_train_00000003']
    assert [s.id for s in split.unlabeled] == ['ADE_train_00000002', 'ADE_train_00000004']
    few = training_split(open_it(tmp_path), 'seeded:1/4', 0)
    assert len(few.labeled) == 1 and set(few.labeled) < set(training_split(open_it(tmp_path), 'seeded:1/2', 0).labeled)


def test_object_info(tmp_path):
    folder = write_ade20k(tmp_path)
    lines = ['Idx\tRatio\tTrain\tVal\tName', *(f'{i} \t0.1\t2\t3\tkind {i}, synonym' for i in range(1, 151))]
    (folder / 'objectInfo150.txt').write_text('\n'.join(lines))
    assert open_it(tmp_path).classes[::149] == ('kind 1', 'kind 150')
    (folder / 'objectInfo150.txt').write_text('\n'.join(lines[:-1]))
    with pytest.raises(InputError, match='objectInfo150.txt: 149 lines, not the different names of ids 1..150'):
        open_it(tmp_path)
