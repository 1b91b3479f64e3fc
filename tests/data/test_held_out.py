"""`data.val`: a val where the dataset has none, and a folder of images without splits."""

import pytest
from dataset_trees import data_config, write_folder, write_image, write_mask

from s4mim_jax import data
from s4mim_jax.config.errors import InputError


def flat(root, masks):
    """images/ and masks/ without splits; masks[i] = values of image i, None = unlabelled."""
    for i, values in enumerate(masks):
        write_image(root / f'images/i{i}.jpg', seed=i)
        if values:
            write_mask(root / f'masks/i{i}.png', values)
    return root


def test_a_share_of_the_labelled_images_is_held_out(tmp_path):
    folder = flat(tmp_path, [(0, 1)] * 8 + [(0, 1, 2)] + [None] * 3)
    opened = data.open_source(data_config('folder', folder, val='seeded:1/3'))
    train, val = opened.splits['train'], opened.splits['val']
    assert len(val) == 3 and len(train) == 9 and not set(train) & set(val) and all(s.mask for s in val)
    assert '3 of 9 labelled' in opened.notes[0]
    # The only image with class 2 stays where it can teach.
    assert 'i8' in {s.id for s in train} and set(opened.splits) == {'train', 'val'}
    assert opened.splits == data.open_source(data_config('folder', folder, val='seeded:1/3')).splits
    split = data.training_split(opened, 'all', 0)
    assert len(split.labeled) == 6 and len(split.unlabeled) == 9
    assert data.evaluation_split(opened, 'val') == val


def test_a_val_of_its_own_stays(tmp_path):
    folder = write_folder(tmp_path)
    opened = data.open_source(data_config('folder', folder, val='seeded:1/2'))
    assert [s.id for s in opened.splits['val']] == ['v0', 'v1'] and len(opened.splits['train']) == 6


@pytest.mark.parametrize('value', ['half', 'seeded:2', 'seeded:0', 'seeded:x', 'seeded:1/0'])
def test_a_share_that_is_none_is_refused(value, tmp_path):
    with pytest.raises(InputError, match=f'data.val={value}\nvalid: own, or seeded:1/5'):
        data.open_source(data_config('folder', flat(tmp_path, [(0, 1)] * 3), val=value))


def test_one_labelled_image_cannot_be_held_out(tmp_path):
    with pytest.raises(InputError, match='at least two'):
        data.open_source(data_config('folder', flat(tmp_path, [(0, 1), None]), val='seeded:1/2'))
    assert 'val' not in data.open_source(data_config('folder', tmp_path)).splits
