"""Cityscapes in its own layout: official ids, ready train ids, public lists, and what can be wrong."""

import numpy as np
import pytest
from dataset_trees import data_config, write_cityscapes, write_mask

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import check_samples, evaluation_split, open_source, training_split
from s4mim_jax.data.files.mask_file import decode_mask

# id -> train id and colour of labels.py, for some of the 34, written down by hand.
OFFICIAL = {7: (0, 'road', (128, 64, 128)), 8: (1, 'sidewalk', (244, 35, 232)), 11: (2, 'building', (70, 70, 70)),
            17: (5, 'pole', (153, 153, 153)), 19: (6, 'traffic light', (250, 170, 30)),
            23: (10, 'sky', (70, 130, 180)), 24: (11, 'person', (220, 20, 60)), 26: (13, 'car', (0, 0, 142)),
            28: (15, 'bus', (0, 60, 100)), 31: (16, 'train', (0, 80, 100)), 33: (18, 'bicycle', (119, 11, 32))}
VOID = [0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 255]


def open_it(root, **settings):
    return open_source(data_config('cityscapes', root, **settings))


def test_label_ids_become_train_ids(tmp_path):
    frames = write_cityscapes(tmp_path)
    source = open_it(tmp_path)
    assert source.num_classes == 19 and [s.id for s in source.splits['train']] == frames
    for raw, (train_id, name, color) in OFFICIAL.items():
        assert source.lookup[raw] == train_id and source.classes[train_id] == name
        assert tuple(source.palette[train_id].tolist()) == color
    assert (source.lookup[VOID] == 255).all()
    assert sorted(set(source.lookup[:34].tolist())) == [*range(19), 255]
    first = source.splits['train'][0]
    assert first.mask == str(tmp_path / 'gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png')
    assert check_samples(source, source.splits['train'])[first].classes == (0, 18)


def test_test_is_val_whose_masks_are_public(tmp_path):
    write_cityscapes(tmp_path)
    source = open_it(tmp_path)
    assert [s.id for s in evaluation_split(source, 'test')] == ['lindau_000000_000019']
    assert source.splits['test'] == source.splits['val']


def test_ready_train_ids_win(tmp_path):
    write_cityscapes(tmp_path, values=(0, 18, 255), ends=('labelTrainIds',))
    source = open_it(tmp_path)
    np.testing.assert_array_equal(source.lookup, np.arange(256))
    for frame in ('train/aachen/aachen_000000', 'train/aachen/aachen_000001', 'train/ulm/ulm_000000',
                  'train/ulm/ulm_000001', 'val/lindau/lindau_000000'):
        write_mask(tmp_path / f'gtFine/{frame}_000019_gtFine_labelIds.png', [7, 33, 0])
    both = open_it(tmp_path)
    assert all(s.mask.endswith('labelTrainIds.png') for s in both.splits['train'] + both.splits['val'])


def test_the_form_that_all_have(tmp_path):
    """Train ids made for a few frames only: the official ids are read."""
    write_cityscapes(tmp_path)
    write_mask(tmp_path / 'gtFine/train/ulm/ulm_000001_000019_gtFine_labelTrainIds.png', [0])
    source = open_it(tmp_path)
    assert all(s.mask.endswith('labelIds.png') for s in source.splits['train']) and source.lookup[7] == 0
    (tmp_path / 'gtFine/train/ulm/ulm_000001_000019_gtFine_labelIds.png').unlink()
    with pytest.raises(InputError, match='4 images have labelIds alone, 1 have labelTrainIds alone, e.g. ulm_000001_0'):
        open_it(tmp_path)


def pairs(frames, end):
    lines = []
    for frame in frames:
        city = frame.partition('_')[0]
        lines.append(f'leftImg8bit/train/{city}/{frame}_leftImg8bit.png gtFine/train/{city}/{frame}_gtFine_{end}.png')
    return '\n'.join(lines)


@pytest.mark.parametrize('ends', [('labelIds',), ('labelTrainIds',), ('labelIds', 'labelTrainIds')])
def test_public_lists_name_train_ids(tmp_path, ends):
    """Their masks are taken where they are there; otherwise the image's own, in the form that is mapped."""
    frames = write_cityscapes(tmp_path, ends=ends)
    folder = tmp_path / 'splits/1_2'
    folder.mkdir(parents=True)
    (folder / 'labeled.txt').write_text(pairs(frames[1:3], 'labelTrainIds'))
    (folder / 'unlabeled.txt').write_text(pairs([frames[0], frames[3]], 'labelTrainIds'))
    split = training_split(open_it(tmp_path), '1_2', 0)
    assert [s.id for s in split.labeled] == frames[1:3] and [s.id for s in split.unlabeled] == [frames[0], frames[3]]
    assert {s.mask.rsplit('_', 1)[1] for s in split.labeled} == {f'{ends[-1]}.png'}


def test_a_list_of_the_other_form_is_not_misread(tmp_path):
    frames = write_cityscapes(tmp_path, ends=('labelTrainIds', 'labelIds'))
    (tmp_path / 'splits').mkdir()
    (tmp_path / 'splits/few_labeled.txt').write_text(pairs(frames[:2], 'labelIds'))
    split = training_split(open_it(tmp_path), 'few', 0)
    assert all(s.mask.endswith('labelTrainIds.png') for s in split.labeled)


def test_bare_ids_and_seeded_splits(tmp_path):
    frames = write_cityscapes(tmp_path)
    (tmp_path / 'splits').mkdir()
    (tmp_path / 'splits/ids_labeled.txt').write_text(f'{frames[0]}\n{frames[3]}_leftImg8bit')
    source = open_it(tmp_path)
    assert [s.id for s in training_split(source, 'ids', 0).labeled] == [frames[0], frames[3]]
    half, quarter = (training_split(source, f'seeded:1/{n}', 3).labeled for n in (2, 4))
    assert len(half) == 2 and set(quarter) < set(half)


def test_values_that_are_no_label_id(tmp_path):
    write_cityscapes(tmp_path)
    write_mask(tmp_path / 'gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png', [7, 34, 200])
    source = open_it(tmp_path)
    with pytest.raises(InputError, match=r'labelIds.png: mask values 34, 200 are outside the 19 classes\n'
                                         r'valid: 0..33 and 255 \(ignore\)'):
        check_samples(source, source.splits['train'])


def test_missing_masks_and_images(tmp_path):
    frames = write_cityscapes(tmp_path)
    (tmp_path / 'gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png').unlink()
    source = open_it(tmp_path)
    assert [s.id for s in source.splits['train'] if s.mask is None] == [frames[2]]
    (tmp_path / 'gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png').unlink()
    with pytest.raises(InputError, match="split 'val': 1 of 1 images have no mask"):
        evaluation_split(open_it(tmp_path), 'val')
    (tmp_path / 'leftImg8bit').rename(tmp_path / 'images')
    with pytest.raises(InputError, match='leftImg8bit/train: no training images'):
        open_it(tmp_path)


def test_label_map_replaces_the_mapping(tmp_path):
    write_cityscapes(tmp_path)
    source = open_it(tmp_path, label_map='7:0,33:1')
    labels = source.lookup[decode_mask(source.read_bytes(source.splits['train'][0].mask), 'mask')]
    assert set(np.unique(labels).tolist()) == {0, 1, 255}
