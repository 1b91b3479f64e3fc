"""Readers, on trees of the layouts that people have."""

import os

import numpy as np
import pytest
from dataset_trees import data_config, write_folder, write_image, write_mask, write_voc

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import check_samples, open_source, training_split
from s4mim_jax.data.classes import read_classes, voc_palette
from s4mim_jax.data.label_map import mask_lookup

REAL = os.environ.get('S4MIM_DATA', '')


def test_folder(tmp_path):
    source = open_source(data_config('folder', write_folder(tmp_path)))
    assert source.classes == ('kind0', 'kind1', 'kind2') and source.num_classes == 3
    assert {k: [s.id for s in v] for k, v in source.splits.items()} == {
        'train': ['t0', 't1', 't2', 't3', 't4', 't5'], 'val': ['v0', 'v1'], 'test': ['t0']}
    first = source.splits['train'][0]
    assert first.image == str(tmp_path / 'images/train/t0.jpg')
    assert source.read_bytes(first.mask) == (tmp_path / 'masks/train/t0.png').read_bytes()
    np.testing.assert_array_equal(source.lookup, np.arange(256))


def test_folder_takes_all_suffixes_nested_folders_and_images_without_mask(tmp_path):
    for name in ('a.JPG', 'b.png', 'c.tif', 'city/d.bmp', 'city/.hidden.jpg', 'notes.txt'):
        path = tmp_path / 'images/train' / name
        if name.endswith('.txt'):
            path.write_text('not an image')
        else:
            write_image(path)
    write_mask(tmp_path / 'masks/train/city/d.png', [0, 1])
    (tmp_path / 'classes.txt').write_text('0 ground\n1 tree')
    source = open_source(data_config('folder', tmp_path))
    assert [s.id for s in source.splits['train']] == ['a', 'b', 'c', 'city/d']
    assert [bool(s.mask) for s in source.splits['train']] == [False, False, False, True]
    assert 'val' not in source.splits


def test_two_files_of_one_id(tmp_path):
    write_folder(tmp_path)
    write_image(tmp_path / 'images/train/t0.png')
    with pytest.raises(InputError, match="two files have the id 't0'"):
        open_source(data_config('folder', tmp_path))


def test_folder_without_classes_file_counts_them_in_the_masks(tmp_path):
    write_folder(tmp_path, classes=None, values=(0, 1, 3, 255))
    write_mask(tmp_path / 'masks/val/v1.png', [2])
    source = open_source(data_config('folder', tmp_path))
    assert source.classes == ('class_0', 'class_1', 'class_2', 'class_3')


def test_folder_without_classes_file_and_values_with_gaps(tmp_path):
    write_folder(tmp_path, classes=None, values=(0, 128))
    with pytest.raises(InputError, match='hold the values 0, 128, .*\n.*label_map, e.g. 0:0,128:1'):
        open_source(data_config('folder', tmp_path))
    source = open_source(data_config('folder', tmp_path, label_map='0:0,128:1'))
    assert source.num_classes == 2 and source.lookup[128] == 1 and source.lookup[7] == 255


def test_folder_without_masks_or_classes(tmp_path):
    write_image(tmp_path / 'images/train/a.jpg')
    with pytest.raises(InputError, match='no classes.txt, and no mask'):
        open_source(data_config('folder', tmp_path))


def test_camvid_original_layout_has_void_11(tmp_path):
    for split in ('train', 'val', 'test'):
        write_image(tmp_path / split / 'x_1.png')
        write_mask(tmp_path / f'{split}annot/x_1.png', [0, 10, 11])
    source = open_source(data_config('camvid', tmp_path))
    assert source.classes[:3] == ('sky', 'building', 'pole') and source.num_classes == 11
    assert source.lookup[11] == 255 and source.lookup[10] == 10
    assert source.splits['test'][0].mask == str(tmp_path / 'testannot/x_1.png')
    table = check_samples(source, source.splits['train'])
    assert table[source.splits['train'][0]].classes == (0, 10)


def test_camvid_folder_layout_and_colours(tmp_path):
    source = open_source(data_config('camvid', write_folder(tmp_path, classes=None)))
    assert source.num_classes == 11 and source.lookup[11] == 11  # an error there, not void
    assert source.palette[3].tolist() == [128, 64, 128]


@pytest.mark.parametrize('below', ['', 'VOC2012', 'VOCdevkit/VOC2012'])
def test_voc(tmp_path, below):
    write_voc(tmp_path / below)
    source = open_source(data_config('voc', tmp_path))
    assert source.num_classes == 21 and source.classes[15] == 'person'
    assert [s.id for s in source.splits['train']] == ['2007_1', '2007_2', '2008_3']
    assert source.splits['test'] == source.splits['val']
    table = check_samples(source, source.splits['train'])  # raw palette indices are the classes
    row = table[source.splits['train'][0]]
    assert row.classes == (0, 15) and row.mask_kind == 'other' and row.kind == 'jpeg'


def test_voc_split_lists(tmp_path):
    write_voc(tmp_path / 'VOC2012')
    # An image of train_aug: in no official list, its mask in the folder of the added masks.
    write_image(tmp_path / 'VOC2012/JPEGImages/2010_7.jpg')
    write_mask(tmp_path / 'VOC2012/SegmentationClassAug/2010_7.png', [0, 1])
    write_mask(tmp_path / 'VOC2012/SegmentationClassAug/2007_1.png', [0, 2])
    lists = tmp_path / 'splits/92'
    lists.mkdir(parents=True)
    (lists / 'labeled.txt').write_text('JPEGImages/2007_1.jpg SegmentationClassAug/2007_1.png\n2010_7')
    (lists / 'unlabeled.txt').write_text('JPEGImages/2007_2.jpg SegmentationClass/none.png\n2008_3\n\n')
    split = training_split(open_source(data_config('voc', tmp_path)), '92', 0)
    assert [s.id for s in split.labeled] == ['2007_1', '2010_7']
    assert all('SegmentationClassAug' in s.mask for s in split.labeled)
    assert [s.id for s in split.unlabeled] == ['2007_2', '2008_3']


def test_voc_list_without_image(tmp_path):
    write_voc(tmp_path)
    (tmp_path / 'JPEGImages/2008_3.jpg').unlink()
    with pytest.raises(InputError, match="train.txt: 1 of 3 ids have no image, e.g. '2008_3'"):
        open_source(data_config('voc', tmp_path))


def test_voc_empty_or_missing_list(tmp_path):
    write_voc(tmp_path)
    (tmp_path / 'ImageSets/Segmentation/val.txt').write_text('\n')
    with pytest.raises(InputError, match='val.txt: empty'):
        open_source(data_config('voc', tmp_path))
    (tmp_path / 'ImageSets/Segmentation/val.txt').unlink()
    with pytest.raises(InputError, match='val.txt: missing'):
        open_source(data_config('voc', tmp_path))


def test_voc_palette_is_the_published_one():
    palette = voc_palette()
    assert palette[[0, 1, 2, 15, 20]].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128],
                                                  [0, 64, 128]]
    assert palette[255].tolist() == [224, 224, 192] and len({tuple(c) for c in palette.tolist()}) == 256


def test_classes_file(tmp_path):
    path = tmp_path / 'classes.txt'
    path.write_text('1 tree 1 2 3\n\n0 ground\n255 void 9 9 9\n')
    names, palette = read_classes(path)
    assert names == ('ground', 'tree') and palette.tolist() == [[0, 0, 0], [1, 2, 3]]


@pytest.mark.parametrize('text, message', [
    ('0 a\n2 b', 'class ids are 0, 2\nvalid: 0, 1, 2'), ('0 a\n0 b', 'line 2: class id 0 was already'),
    ('0 a 1 2', "line 1: '0 a 1 2' is neither"), ('a 0', "line 1: 'a 0' is neither"),
    ('255 void', 'class ids are missing'), ('0 a 1 2 256', 'neither')])
def test_bad_classes_file(tmp_path, text, message):
    path = tmp_path / 'classes.txt'
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_classes(path)
    assert 'classes.txt' in str(caught.value)


def test_label_map():
    lookup = mask_lookup('0:0, 255:1')
    assert lookup[[0, 255, 3]].tolist() == [0, 1, 255]
    for bad in ('0', '0:', 'a:1', '0:256', '0:0,'):
        with pytest.raises(InputError, match='label_map=.*VALUE:CLASS'):
            mask_lookup(bad)


def test_label_map_to_a_class_that_is_not_there(tmp_path):
    write_folder(tmp_path)
    with pytest.raises(InputError, match='label_map=0:0,7:3 maps to class 3\nvalid: 0..2 and 255'):
        open_source(data_config('folder', tmp_path, label_map='0:0,7:3'))


def test_unknown_dataset_and_missing_folder(tmp_path, monkeypatch):
    with pytest.raises(InputError, match='data.name=imagenet: unknown dataset\nvalid: ade20k, camvid, '
                                         'cityscapes, coco, folder, patterns, shapes, shapes_large, tfds:NAME, voc, '
                                         'voc:aug$'):
        open_source(data_config('imagenet', tmp_path))
    with pytest.raises(InputError, match='data.name=camvid:small: unknown dataset'):
        open_source(data_config('camvid:small', tmp_path))
    with pytest.raises(InputError, match='data.dir=.*nowhere: no such folder'):
        open_source(data_config('folder', tmp_path / 'nowhere'))
    monkeypatch.setenv('S4MIM_DATA', str(tmp_path))
    data = data_config('voc', '')
    data.dir = None
    with pytest.raises(InputError, match=f"'voc' not found: no folder data/voc and no {tmp_path}/voc"):
        open_source(data)
    (tmp_path / 'images').mkdir()
    with pytest.raises(InputError, match='images/train: no training images'):
        open_source(data_config('folder', tmp_path))


def test_default_folder_is_below_s4mim_data(tmp_path, monkeypatch):
    write_folder(tmp_path / 'camvid')
    monkeypatch.setenv('S4MIM_DATA', str(tmp_path))
    data = data_config('camvid', '')
    data.dir = None
    assert open_source(data).dir == str(tmp_path / 'camvid')


@pytest.mark.skipif(not os.path.isdir(f'{REAL}/camvid'), reason='needs $S4MIM_DATA/camvid')
def test_real_camvid():
    source = open_source(data_config('camvid', f'{REAL}/camvid'))
    assert {k: len(v) for k, v in source.splits.items()} == {'train': 367, 'val': 101, 'test': 233}
    counts = {'1_30': 12, '1_16': 23, '1_8': 46, '1_4': 92, '1_2': 184}
    for name, count in counts.items():
        split = training_split(source, name, 0)
        assert (len(split.labeled), len(split.unlabeled)) == (count, 367 - count)
        drawn = training_split(source, f'seeded:{name.replace("_", "/")}', 0)
        assert len(drawn.labeled) == count
    rows = check_samples(source, source.splits['test']).rows.values()
    assert {(r.height, r.width, r.kind, r.mask_kind) for r in rows} == {(360, 480, 'jpeg', 'gray8')}


@pytest.mark.skipif(not os.path.isdir(f'{REAL}/voc_animals'), reason='needs $S4MIM_DATA/voc_animals')
def test_real_voc_sample():
    source = open_source(data_config('voc', f'{REAL}/voc_animals'))
    for name, count in (('92', 31), ('183', 65), ('366', 104), ('732', 222)):
        split = training_split(source, name, 0)
        assert (len(split.labeled), len(split.unlabeled)) == (count, 437 - count)
    table = check_samples(source, split.labeled)
    seen = {c for s in split.labeled for c in table[s].classes}
    assert {0, 8, 10, 12, 13, 15, 17} <= seen
