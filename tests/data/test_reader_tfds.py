"""TFDS datasets by name: miniature builders of the real features, prepared here as ArrayRecord files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from dataset_trees import data_config

from s4mim_jax.config import base, command_line
from s4mim_jax.config.errors import InputError
from s4mim_jax.data import check_samples, open_source, training_batches, training_split
from s4mim_jax.data.files.images import decode_image
from s4mim_jax.data.files.mask_file import decode_mask

ROOT = Path(__file__).resolve().parents[2]
SIZE = (12, 16)
IMAGE = tfds.features.Image(shape=(None, None, 3), encoding_format='png')


def mask_of(channels=1):
    return tfds.features.Image(shape=(None, None, channels), encoding_format='png')


def pixels(number, values, channels=1):
    """Image and mask number `number`; the mask holds all of `values`, turned by the number."""
    image = np.full((*SIZE, 3), 40 + number, np.uint8)
    mask = np.resize(np.roll(np.array(values, np.uint8), number), (*SIZE, 1))
    return image, np.concatenate([mask] + [mask * 0 + 9] * (channels - 1), axis=-1)


def prepare(folder, name, features, splits, example, config=None, file_format='array_record'):
    """Writes a dataset as TFDS would. splits: name -> examples; example: number -> its features."""

    class Mini(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version('1.0.0')
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=config)] if config else []

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {split: ((i, example(i)) for i in range(count)) for split, count in splits.items()}

        def _generate_examples(self):
            return iter(())

    Mini.name = name
    tfds.disable_progress_bar()
    Mini(data_dir=str(folder), file_format=file_format).download_and_prepare()
    return folder


def write_pets(folder, values=(1, 2, 3), train=20, **options):
    def example(i):
        image, mask = pixels(i, values)
        return {'image': image, 'label': i % 37, 'segmentation_mask': mask, 'file_name': f'pet_{i}.jpg'}
    return prepare(folder, 'oxford_iiit_pet', {
        'image': IMAGE, 'label': tfds.features.ClassLabel(num_classes=37), 'segmentation_mask': mask_of(),
        'file_name': tfds.features.Text()}, {'train': train, 'test': 4}, example, **options)


@pytest.fixture(scope='module')
def pets(tmp_path_factory):
    return write_pets(tmp_path_factory.mktemp('pets'))


def open_it(name, folder, **settings):
    return open_source(data_config(f'tfds:{name}', folder, **settings))


def test_pets(pets):
    source = open_it('oxford_iiit_pet', pets)
    assert source.classes == ('pet', 'background', 'outline') and source.name == 'tfds:oxford_iiit_pet'
    assert source.lookup[[1, 2, 3, 255]].tolist() == [0, 1, 2, 255] and list(source.splits) == ['train', 'val', 'test']
    seen = []
    for sample in (*source.splits['train'], *source.splits['val']):
        image = decode_image(source.read_bytes(sample.image), sample.image)
        number = int(image[0, 0, 0]) - 40
        expected = pixels(number, (1, 2, 3))
        np.testing.assert_array_equal(image, expected[0])
        np.testing.assert_array_equal(decode_mask(source.read_bytes(sample.mask), sample.mask), expected[1][..., 0])
        seen.append(number)
    assert sorted(seen) == list(range(20)) and len(source.splits['test']) == 4


def test_val_is_carved_once_and_for_all(pets):
    first, second = (open_it('oxford_iiit_pet', pets).splits for _ in range(2))
    assert first == second and [len(first[s]) for s in ('train', 'val')] == [18, 2]
    assert not set(first['val']) & set(first['train'])
    assert [s.id for s in first['val']] == ['train_000002', 'train_000015']  # by sha256, on every machine


def test_splits_and_batches(pets):
    source = open_it('oxford_iiit_pet', pets)
    half, third = (training_split(source, f'seeded:1/{n}', 0) for n in (2, 3))
    assert len(half.labeled) == 9 and set(third.labeled) < set(half.labeled)
    config = base()
    config.data.crop, config.data.scale, config.data.flip = SIZE, (1.0, 1.0), False
    config.batch.labeled = config.batch.unlabeled = 4
    table = check_samples(source, half.labeled + half.unlabeled)
    batch = next(training_batches(source, half, config, tables=table))
    numbers = batch['labeled']['image'][:, 0, 0, 0] - 40
    expected = np.stack([pixels(int(n), (0, 1, 2))[1][..., 0] for n in numbers])
    np.testing.assert_array_equal(batch['labeled']['label'], expected)


def test_lists_beside_the_dataset(pets, tmp_path):
    folder = shutil.copytree(pets, tmp_path / 'copy')
    (folder / 'oxford_iiit_pet/splits').mkdir()
    (folder / 'oxford_iiit_pet/splits/few_labeled.txt').write_text('train_000003\ntrain_000019')
    split = training_split(open_it('oxford_iiit_pet', folder), 'few', 0)
    assert [s.id for s in split.labeled] == ['train_000003', 'train_000019'] and len(split.unlabeled) == 16


def test_the_walk_is_paid_for_once(pets, tmp_path, monkeypatch):
    folder = shutil.copytree(pets, tmp_path / 'copy')
    source = open_it('oxford_iiit_pet', folder)
    first = check_samples(source, source.splits['train'])
    moved = folder.rename(tmp_path / 'moved')
    source = open_it('oxford_iiit_pet', moved)
    read = []
    object.__setattr__(source, 'read_bytes', lambda path, old=source.read_bytes: read.append(path) or old(path))
    again = check_samples(source, source.splits['train'])
    assert not read and list(again.rows.values()) == list(first.rows.values())
    info = moved / 'oxford_iiit_pet/1.0.0/dataset_info.json'
    info.write_text(info.read_text() + ' ')  # prepared again
    source = open_it('oxford_iiit_pet', moved)
    object.__setattr__(source, 'read_bytes', lambda path, old=source.read_bytes: read.append(path) or old(path))
    check_samples(source, source.splits['train'])
    assert len(read) == 36


def test_wrong_mask_values(tmp_path):
    write_pets(tmp_path, values=(0, 1, 4), train=3)
    source = open_it('oxford_iiit_pet', tmp_path)
    with pytest.raises(InputError, match='segmentation_mask: mask values 0, 4 are outside the 3 classes\nvalid: 1..3 '):
        check_samples(source, source.splits['train'])


def test_cityscapes(tmp_path):
    def example(i):
        image, mask = pixels(i, (0, 7, 33))
        return {'image_id': str(i), 'image_left': image, 'segmentation_label': mask}
    prepare(tmp_path, 'cityscapes', {'image_id': tfds.features.Text(), 'image_left': IMAGE,
                                     'segmentation_label': mask_of()},
            {'train': 5, 'validation': 2, 'test': 1}, example, config='semantic_segmentation')
    for name in ('cityscapes/semantic_segmentation', 'cityscapes'):
        source = open_it(name, tmp_path)
        assert source.num_classes == 19 and [len(s) for s in source.splits.values()] == [5, 2, 2]
        assert source.splits['val'][0].id == 'validation_000000' and source.splits['test'] == source.splits['val']
        row = check_samples(source, source.splits['train'])[source.splits['train'][0]]
        assert row.classes == (0, 18)
    with pytest.raises(InputError, match='tfds:cityscapes/disparity: not prepared in'):
        open_it('cityscapes/disparity', tmp_path)


@pytest.mark.parametrize('channels, values, classes, names', [
    (3, (0, 1, 100), (0, 1, 100), {0: 'other', 1: 'bed', 4: 'person', 99: 'clock', 100: 'flag'}),
    (1, (0, 1, 150), (0, 149), {0: 'wall', 12: 'person', 149: 'flag'})])
def test_scene_parse150(tmp_path, channels, values, classes, names):
    """As TFDS ships it (objects in the red channel of a colour mask), and built with the gray masks."""
    def example(i):
        image, mask = pixels(i, values, channels)
        return {'image': image, 'annotation': mask}
    prepare(tmp_path, 'scene_parse150', {'image': IMAGE, 'annotation': mask_of(channels)},
            {'train': 11, 'test': 2}, example)
    source = open_it('scene_parse150', tmp_path)
    assert source.num_classes == max(names) + 1 and [len(s) for s in source.splits.values()] == [10, 1, 2]
    assert {i: source.classes[i] for i in names} == names
    table = check_samples(source, source.splits['train'])
    assert table[source.splits['train'][0]].classes == classes


def write_other(folder, **options):
    """A dataset that nobody knows: two images, a mask of numbers, a mask with names."""
    def example(i):
        image, mask = pixels(i, (0, 1))
        return {'photo': image, 'depth': image, 'area': mask, 'plain': mask[..., 0] * 5,
                'pair': np.ones(2, np.float32)}
    return prepare(folder, 'fields', {
        'photo': IMAGE, 'depth': IMAGE, 'pair': tfds.features.Tensor(shape=(2,), dtype=np.float32),
        'area': tfds.features.LabeledImage(labels=['soil', 'crop'], shape=(None, None, 1), encoding_format='png'),
        'plain': tfds.features.Tensor(shape=(None, None), dtype=np.uint8, encoding='zlib')
    }, {'train': 10, 'val': 3}, example, **options)


@pytest.fixture(scope='module')
def fields(tmp_path_factory):
    return write_other(tmp_path_factory.mktemp('fields'))


def test_features_by_key(fields):
    with pytest.raises(InputError, match=r'data.tfds_image=None: a feature of the dataset that is an image\n'
                                         r'features: .*photo \(Image \?x\?x3\)'):
        open_it('fields', fields)
    source = open_it('fields', fields, tfds_image='photo')
    assert source.classes == ('soil', 'crop') and [len(s) for s in source.splits.values()] == [10, 3, 3]
    place = f'{fields}/fields/1.0.0/train/0'
    assert source.splits['train'][0].image == f'{place}/photo' and source.splits['train'][0].mask == f'{place}/area'
    with pytest.raises(InputError, match='data.tfds_label=roof: a feature of the dataset that is a mask'):
        open_it('fields', fields, tfds_image='photo', tfds_label='roof')


def test_a_mask_of_numbers_and_its_classes(fields, tmp_path):
    keys = dict(tfds_image='photo', tfds_label='plain')
    with pytest.raises(InputError, match='does not tell its classes\nwrite .*fields/classes.txt.*label_map=1:0,2:1'):
        open_it('fields', fields, **keys)
    source = open_it('fields', fields, label_map='0:0,5:1', **keys)
    assert source.classes == ('class_0', 'class_1')
    assert check_samples(source, source.splits['train'])[source.splits['train'][0]].classes == (0, 1)
    folder = shutil.copytree(fields, tmp_path / 'copy')
    (folder / 'fields/classes.txt').write_text('\n'.join(f'{i} kind{i}' for i in range(6)))
    source = open_it('fields', folder, **keys)
    assert source.num_classes == 6
    assert check_samples(source, source.splits['train'])[source.splits['train'][0]].classes == (0, 5)


def test_splits_by_key(fields):
    source = open_it('fields', fields, tfds_image='photo', tfds_splits='train=train[:6],val=train[6:],test=val')
    assert [len(source.splits[s]) for s in ('train', 'val', 'test')] == [6, 4, 3]
    photo = decode_image(source.read_bytes(source.splits['val'][0].image), 'x')
    whole = open_it('fields', fields, tfds_image='photo')
    np.testing.assert_array_equal(photo, decode_image(whole.read_bytes('fields/1.0.0/train/6/photo'), 'x'))
    for text in ('val=val', 'train=nowhere', 'training=train', 'train'):
        with pytest.raises(InputError, match='data.tfds_splits=.*\nours: train, val, test; theirs: train, val'):
            open_it('fields', fields, tfds_image='photo', tfds_splits=text)
    with pytest.raises(InputError, match='cannot be read.*\nsplits: train, val'):
        open_it('fields', fields, tfds_image='photo', tfds_splits='train=train[:x]')


def test_not_prepared_says_how(tmp_path):
    with pytest.raises(InputError, match='tfds:oxford_iiit_pet: not prepared in .*nowhere\nprepare it once: python .*'
                                         r"builder\('oxford_iiit_pet', data_dir='.*', file_format='array_record'\)"):
        open_it('oxford_iiit_pet', tmp_path / 'nowhere')
    assert not (tmp_path / 'nowhere').exists()  # nothing is downloaded or made
    with pytest.raises(InputError, match='data.name=tfds: no dataset'):
        open_source(data_config('tfds', tmp_path))


def test_a_format_without_random_access(tmp_path):
    write_pets(tmp_path, train=2, file_format='tfrecord')
    with pytest.raises(InputError, match=r'prepared as tfrecord, which has no random access\ndelete .*1.0.0 and '):
        open_it('oxford_iiit_pet', tmp_path)


def test_damaged_files(pets, tmp_path):
    folder = shutil.copytree(pets, tmp_path / 'copy')
    for path in (folder / 'oxford_iiit_pet/1.0.0').glob('*train*'):
        path.write_bytes(b'broken')
    with pytest.raises(InputError, match='oxford_iiit_pet/1.0.0: cannot be read'):
        open_it('oxford_iiit_pet', folder)


def test_our_own_dataset(tmp_path, monkeypatch):
    from s4mim_jax.data.shapes import builder
    counts = {'train': (0, 6), 'val': (1, 2), 'test': (2, 2)}
    monkeypatch.setattr(builder.Shapes, 'SPLITS', counts)
    own = open_source(data_config('shapes', tmp_path))
    source = open_it('shapes', tmp_path)
    assert source.classes == own.classes and [len(s) for s in source.splits.values()] == [6, 2, 2]
    for mine, theirs in zip(own.splits['train'], source.splits['train']):
        assert own.read_bytes(mine.mask) == source.read_bytes(theirs.mask)


@pytest.mark.parametrize('key', ['tfds_image', 'tfds_label', 'tfds_splits'])
def test_keys_of_another_reader(tmp_path, key):
    with pytest.raises(InputError, match=f'data.{key}=photo: only for --config.data.name=tfds:NAME, .* is folder'):
        open_source(data_config('folder', tmp_path, **{key: 'photo'}))


def test_keys_on_the_command_line():
    overrides = [('data.name', 'tfds:fields'), ('data.tfds_image', 'photo'), ('data.tfds_label', 'area'),
                 ('data.tfds_splits', 'train=train[:6],val=train[6:]')]
    data = command_line.load_config(f'{ROOT}/configs/folder.py:unimatch', overrides).data
    assert (data.name, data.tfds_image, data.tfds_label) == ('tfds:fields', 'photo', 'area')
    assert data.tfds_splits == 'train=train[:6],val=train[6:]'
