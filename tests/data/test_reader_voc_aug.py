"""The augmented set of PASCAL VOC: its masks, its lists in the forms that are about."""

import pytest
from dataset_trees import data_config, write_image, write_mask, write_voc

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import check_samples, evaluation_split, open_source, training_split


@pytest.fixture
def root(tmp_path):
    """Three clean training images, two more that only the augmented masks label, one in val."""
    write_voc(tmp_path)
    for identity in ('2008_7', '2010_8'):
        write_image(tmp_path / f'JPEGImages/{identity}.jpg')
    for identity in ('2007_1', '2007_2', '2008_3', '2008_7', '2010_8', '2009_9'):
        write_mask(tmp_path / f'SegmentationClassAug/{identity}.png', [0, 3, 255])
    return tmp_path


def open_aug(root):
    return open_source(data_config('voc:aug', root))


def test_without_a_list_all_augmented_masks_outside_val_train(root):
    source = open_aug(root)
    assert [s.id for s in source.splits['train']] == ['2007_1', '2007_2', '2008_3', '2008_7', '2010_8']
    assert all('/SegmentationClassAug/' in s.mask for s in source.splits['train'])
    # What is scored are the clean masks.
    assert [s.mask for s in evaluation_split(source, 'val')] == [str(root / 'SegmentationClass/2009_9.png')]
    assert source.name == 'voc:aug' and source.num_classes == 21
    table = check_samples(source, source.splits['train'])
    assert table[source.splits['train'][0]].classes == (0, 3)


def test_plain_voc_prefers_the_clean_masks(root):
    source = open_source(data_config('voc', root))
    assert [s.id for s in source.splits['train']] == ['2007_1', '2007_2', '2008_3']
    assert all('/SegmentationClass/' in s.mask for s in source.splits['train'])


@pytest.mark.parametrize('name, text', [
    ('ImageSets/Segmentation/train_aug.txt', '2007_1\n2010_8'),
    ('ImageSets/Segmentation/trainaug.txt', '/JPEGImages/2007_1.jpg /SegmentationClassAug/2007_1.png\n'
                                            '/JPEGImages/2010_8.jpg /SegmentationClassAug/2010_8.png'),
    ('train_aug.txt', 'JPEGImages/2007_1.jpg SegmentationClass/2007_1.png\r\n'
                      'JPEGImages/2010_8.jpg SegmentationClass/2010_8.png\r\n')])
def test_lists(root, name, text):
    (root / name).write_text(text)
    source = open_aug(root)
    assert [s.id for s in source.splits['train']] == ['2007_1', '2010_8']
    assert source.splits['train'][1].mask == str(root / 'SegmentationClassAug/2010_8.png')


def test_augmented_masks_that_lie_among_the_clean_ones(root):
    """As a download for semi-supervised learning offers them: one folder, and a list that names it."""
    (root / 'SegmentationClassAug').rename(root / 'all')
    (root / 'SegmentationClass').rename(root / 'clean')
    (root / 'all').rename(root / 'SegmentationClass')
    with pytest.raises(InputError, match='voc:aug: no folder .*SegmentationClassAug and no list train_aug.txt'):
        open_aug(root)
    (root / 'splits/1_2').mkdir(parents=True)
    (root / 'splits/train_aug.txt').write_text('\n'.join(
        f'JPEGImages/{i}.jpg SegmentationClass/{i}.png' for i in ('2007_1', '2007_2', '2008_3', '2008_7', '2010_8')))
    (root / 'splits/1_2/labeled.txt').write_text('JPEGImages/2008_7.jpg SegmentationClass/2008_7.png\n2007_1')
    split = training_split(open_aug(root), '1_2', 0)
    assert [s.id for s in split.labeled] == ['2007_1', '2008_7']
    assert [s.id for s in split.unlabeled] == ['2007_2', '2008_3', '2010_8']


def test_bad_lists(root):
    path = root / 'ImageSets/Segmentation/train_aug.txt'
    path.write_text('2007_1\n2009_9')
    with pytest.raises(InputError, match="train_aug.txt: 1 ids are in ImageSets/Segmentation/val.txt too, e.g. '2009"):
        open_aug(root)
    path.write_text('2007_1\n1999_1')
    with pytest.raises(InputError, match="train_aug.txt: 1 of 2 ids have no image, e.g. '1999_1'"):
        open_aug(root)


def test_a_listed_image_without_mask_stays_unlabelled(root):
    (root / 'SegmentationClassAug/2010_8.png').unlink()
    (root / 'ImageSets/Segmentation/train_aug.txt').write_text('2007_1\n2010_8')
    split = training_split(open_aug(root), 'all', 0)
    assert [s.id for s in split.labeled] == ['2007_1'] and [s.id for s in split.unlabeled] == ['2007_1', '2010_8']


@pytest.mark.parametrize('name', ['voc:', 'voc:augmented'])
def test_unknown_variant(root, name):
    with pytest.raises(InputError, match=f'data.name={name}: unknown variant .*\nvalid: voc, voc:aug'):
        open_source(data_config(name, root))
