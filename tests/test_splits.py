"""Which samples are labelled: lists, seeded fractions, and what is wrong with a list."""

import numpy as np
import pytest
from dataset_trees import data_config, write_folder, write_image, write_lists, write_mask

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import evaluation_split, open_source, training_split


def ids(samples):
    return [sample.id for sample in samples]


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path)


def open_folder(root, **settings):
    return open_source(data_config('folder', root, **settings))


def test_list_of_ids_and_its_hash(root):
    write_lists(root, '1_3', ['t4', 't1'], ['t0', 't2', 't2', 't3'])
    split = training_split(open_folder(root), '1_3', seed=0)
    assert ids(split.labeled) == ['t1', 't4'] and ids(split.unlabeled) == ['t0', 't2', 't3']
    assert all(s.mask for s in split.labeled) and len(split.hash) == 64
    # The same sets in another order and form are the same split; other sets are not.
    write_lists(root, 'pairs', ['images/train/t1.jpg masks/train/t1.png', '/old/train/t4.jpg /old/masks/train/t4.png'],
                ['images/train/t3.jpg', 't0', 'train/t2'])
    assert training_split(open_folder(root), 'pairs', 0).hash == split.hash
    write_lists(root, 'other', ['t1'], ['t4', 't0', 't2', 't3'])
    assert training_split(open_folder(root), 'other', 0).hash != split.hash


def test_hash_does_not_depend_on_the_place(root, tmp_path_factory):
    elsewhere = write_folder(tmp_path_factory.mktemp('elsewhere'))
    hashes = {training_split(open_folder(r), 'seeded:1/3', 5).hash for r in (root, elsewhere)}
    assert len(hashes) == 1


def test_list_in_a_folder_and_without_unlabelled_ids(root):
    (root / 'splits/few').mkdir(parents=True)
    (root / 'splits/few/labeled.txt').write_text('\ufefft0\r\nt5\r\n')
    split = training_split(open_folder(root), 'few', 0)
    assert ids(split.labeled) == ['t0', 't5'] and ids(split.unlabeled) == ['t1', 't2', 't3', 't4']


def test_all(root):
    (root / 'masks/train/t0.png').unlink()
    split = training_split(open_folder(root), 'all', 0)
    assert ids(split.labeled) == ['t1', 't2', 't3', 't4', 't5'] and len(split.unlabeled) == 6


def test_unknown_split_lists_the_valid_ones(root):
    write_lists(root, '1_3', ['t4'], ['t0'])
    (root / 'splits/92').mkdir()
    (root / 'splits/92/labeled.txt').write_text('t0')
    with pytest.raises(InputError, match='split=1_4: no splits/.*\nvalid: all, seeded:1/8, 1_3, 92'):
        training_split(open_folder(root), '1_4', 0)


@pytest.mark.parametrize('labeled, unlabeled, message', [
    ([], ['t0'], r'x_labeled.txt: empty split list'),
    (['t0'], [' '], r'x_unlabeled.txt: empty split list'),
    (['t0', 'zebra', 'yak'], ['t1'], r"x_labeled.txt: 2 of 3 lines have no image, e.g. 'zebra'"),
    (['t0'], ['t1', 'no/zebra.jpg'], r"x_unlabeled.txt: 1 of 2 lines have no image, e.g. 'no/zebra.jpg'"),
    (['t0', 't3'], ['t1', 't3'], r"x_unlabeled.txt: 1 ids are in x_labeled.txt too, e.g. 't3'"),
    (['t0', 't5'], ['t1'], r"x_labeled.txt: 1 of 2 lines have no mask, e.g. 't5'"),
    (['t0', 'images/val/v0.jpg'], ['t1'], r'x_labeled.txt: 1 of 2 lines belong to val or test'),
    (['t0'], ['t1', 'images/test/t0.jpg'], r'x_unlabeled.txt: 1 of 2 lines belong to val or test'),
    (['t0 t1 t2'], ['t1'], r'1 of 1 lines have no image'),
])
def test_bad_lists(root, labeled, unlabeled, message):
    (root / 'masks/train/t5.png').unlink()
    write_lists(root, 'x', labeled, unlabeled)
    with pytest.raises(InputError, match=message) as caught:
        training_split(open_folder(root), 'x', 0)
    assert len(str(caught.value).splitlines()) <= 3


@pytest.mark.parametrize('spec', ['seeded:0', 'seeded:3/2', 'seeded:', 'seeded:1/0', 'seeded:few'])
def test_bad_fraction(root, spec):
    with pytest.raises(InputError, match=f'split={spec}.*\nvalid: more than 0'):
        training_split(open_folder(root), spec, 0)


def test_no_labelled_image_at_all(tmp_path):
    write_image(tmp_path / 'images/train/a.jpg')
    (tmp_path / 'classes.txt').write_text('0 a\n1 b')
    for spec in ('all', 'seeded:1/2'):
        with pytest.raises(InputError, match='none of the 1 training images'):
            training_split(open_folder(tmp_path), spec, 0)


@pytest.fixture(scope='module')
def rare(tmp_path_factory):
    """64 samples; classes 1 .. 5 in about a third, class 6 in one and class 7 in two of them."""
    root = tmp_path_factory.mktemp('rare')
    random = np.random.default_rng(1)
    for i in range(64):
        present = [0, *(1 + np.flatnonzero(random.random(5) < 0.3)), *([6] if i == 40 else []),
                   *([7] if i in (3, 50) else [])]
        write_image(root / f'images/train/{i:02d}.png', (6, 6))
        write_mask(root / f'masks/train/{i:02d}.png', present, (6, 6))
    (root / 'classes.txt').write_text('\n'.join(f'{i} c{i}' for i in range(8)))
    return open_source(data_config('folder', root))


def seen_classes(source, samples):
    from s4mim_jax.data.files.mask_file import decode_mask
    return {int(v) for s in samples for v in np.unique(decode_mask(source.read_bytes(s.mask), s.id))}


def test_seeded_is_nested_and_covers_the_classes(rare):
    fractions = ('1/16', '1/8', '1/4', '1/3', '1/2')
    for seed in range(4):
        splits = [training_split(rare, f'seeded:{f}', seed) for f in fractions]
        assert [len(s.labeled) for s in splits] == [4, 8, 16, 21, 32]
        for split in splits:
            assert seen_classes(rare, split.labeled) == set(range(8))
            assert sorted(ids(split.labeled) + ids(split.unlabeled)) == ids(rare.splits['train'])
        for small, large in zip(splits, splits[1:]):
            assert set(small.labeled) < set(large.labeled)


def test_seeded_depends_on_the_seed_alone(rare):
    first = training_split(rare, 'seeded:1/4', 0)
    assert training_split(rare, 'seeded:0.25', 0).hash == first.hash
    assert training_split(rare, 'seeded:1/4', 1).hash != first.hash


def test_seeded_draw_is_not_the_alphabet(rare):
    """Apart from the few that cover the classes, every sample is as likely as any other."""
    counts = np.zeros(64)
    for seed in range(40):
        for sample in training_split(rare, 'seeded:1/2', seed).labeled:
            counts[int(sample.id)] += 1
    free = np.delete(counts, [3, 40, 50])
    assert 0.4 < free.mean() / 40 < 0.55 and free.min() >= 8


def test_seeded_one_is_all(rare):
    assert training_split(rare, 'seeded:1', 0).hash == training_split(rare, 'all', 0).hash


def test_unmasked_images_stay_unlabelled(root):
    (root / 'masks/train/t2.png').unlink()
    split = training_split(open_folder(root), 'seeded:4/5', 0)
    assert len(split.labeled) == 4 and 't2' in ids(split.unlabeled) and len(split.unlabeled) == 2


def test_evaluation_split(root):
    source = open_folder(root)
    assert ids(evaluation_split(source, 'val')) == ['v0', 'v1']
    with pytest.raises(InputError, match="split 'tests': not in .*\nvalid: train, val, test"):
        evaluation_split(source, 'tests')
    (root / 'masks/val/v1.png').unlink()
    with pytest.raises(InputError, match="split 'val': 1 of 2 images have no mask, e.g. .*v1.jpg"):
        evaluation_split(open_folder(root), 'val')
