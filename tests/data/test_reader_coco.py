"""COCO with masks of 81 classes, in the layouts of the semi-supervised repositories."""

import pytest
from dataset_trees import data_config, write_coco, write_mask

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import check_samples, evaluation_split, open_source, training_split


def open_it(root):
    return open_source(data_config('coco', root))


@pytest.mark.parametrize('nested, below', [(False, ''), (True, ''), (True, 'images')])
def test_layouts(tmp_path, nested, below):
    source = open_it(write_coco(tmp_path, nested=nested, below=below))
    assert [s.id for s in source.splits['train']] == ['000000000009', '000000000025', '000000000030']
    assert all(s.mask.endswith(f'{s.id}.png') for s in source.splits['train'])
    assert [s.id for s in evaluation_split(source, 'test')] == ['000000000139']
    assert check_samples(source, source.splits['train'])[source.splits['train'][0]].classes == (0, 1, 80)


def test_classes(tmp_path):
    """FeatureGrid of some things among the category ids without gaps."""
    classes = open_it(write_coco(tmp_path)).classes
    assert len(classes) == len(set(classes)) == 81
    known = {0: 'background', 1: 'person', 3: 'car', 12: 'stop sign', 13: 'parking meter', 17: 'dog', 25: 'backpack',
             40: 'bottle', 61: 'dining table', 63: 'tv', 74: 'book', 80: 'toothbrush'}
    assert {i: classes[i] for i in known} == known


@pytest.mark.parametrize('nested', [False, True])
def test_public_lists(tmp_path, nested):
    """They name masks in one folder; where those lie a split apart, the image's own mask is taken."""
    write_coco(tmp_path, nested=nested)
    (tmp_path / 'splits/1_3').mkdir(parents=True)
    (tmp_path / 'splits/1_3/labeled.txt').write_text('train2017/000000000025.jpg masks/000000000025.png')
    (tmp_path / 'splits/1_3/unlabeled.txt').write_text(
        'train2017/000000000030.jpg masks/000000000030.png\ntrain2017/000000000009.jpg masks/000000000009.png')
    split = training_split(open_it(tmp_path), '1_3', 0)
    assert [s.id for s in split.labeled] == ['000000000025'] and split.labeled[0].mask.endswith('25.png')
    assert [s.id for s in split.unlabeled] == ['000000000009', '000000000030']
    assert len(training_split(open_it(tmp_path), 'seeded:2/3', 0).labeled) == 2


def test_wrong_values_and_missing_files(tmp_path):
    write_coco(tmp_path)
    write_mask(tmp_path / 'masks/000000000025.png', [0, 81, 90])  # category ids with their gaps
    (tmp_path / 'masks/000000000030.png').unlink()
    source = open_it(tmp_path)
    assert [s.id for s in source.splits['train'] if s.mask is None] == ['000000000030']
    with pytest.raises(InputError, match='25.png: mask values 81, 90 are outside the 81 classes\nvalid: 0..80 '):
        check_samples(source, source.splits['train'])
    (tmp_path / 'splits').mkdir()
    (tmp_path / 'splits/x_labeled.txt').write_text('train2017/000000000030.jpg masks/000000000030.png')
    with pytest.raises(InputError, match='x_labeled.txt: 1 of 1 lines have no mask'):
        training_split(source, 'x', 0)
    (tmp_path / 'train2017').rename(tmp_path / 'train2014')
    with pytest.raises(InputError, match='train2017: no training images'):
        open_it(tmp_path)
