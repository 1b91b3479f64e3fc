"""What all datasets have in common: the page's table and example, their configs, what a plan knows of them."""

import re
import sys
import types
from pathlib import Path

import pages
import pytest
from dataset_trees import (
    data_config,
    write_ade20k,
    write_cityscapes,
    write_coco,
    write_folder,
    write_image,
    write_mask,
    write_voc,
)

from s4mim_jax.config import command_line
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.data import check_samples, evaluation_split, open_source, source, training_split
from s4mim_jax.planning import dataset

ROOT = Path(__file__).resolve().parents[2]


def table():
    return {row[0].strip('`'): row[1:] for row in pages.rows('datasets')}


def test_the_table_names_every_reader():
    names = set(table())
    assert {name.partition(':')[0] for name in names} == set(source.READERS)
    assert {name for name in names if ':' in name} == set(source.VARIANTS.values())
    assert all(len(row) == 3 and all(row) for row in table().values())


def test_the_table_tells_the_classes():
    for name, (_, classes, _) in table().items():
        if classes.isdecimal():
            module = dataset.CLASSES[name.partition(':')[0]]
            assert int(classes) == len(__import__(module, fromlist=['CLASSES']).CLASSES), name
    told = {name for name, row in table().items() if row[1].isdecimal()}
    assert told == set(dataset.CLASSES) | {'voc:aug'}


@pytest.mark.parametrize('name, write, layout', [
    ('camvid', lambda root: write_folder(root, classes=None), None), ('folder', write_folder, None),
    ('voc', write_voc, 'JPEGImages/ SegmentationClass/ ImageSets/Segmentation/'),
    ('cityscapes', write_cityscapes, None), ('ade20k', write_ade20k, None), ('coco', write_coco, None)])
def test_the_table_tells_the_splits(tmp_path, name, write, layout):
    write(tmp_path)
    splits = open_source(data_config(name, tmp_path)).splits
    assert set(splits) == {'train', 'val', 'test'}
    assert ('test is val' in table()[name][2]) == (splits['test'] == splits['val'])
    for word in (layout or '').split():
        assert (tmp_path / word).is_dir()


def test_the_readers_example_is_true(tmp_path, monkeypatch):
    """The file and the line of the page, as they stand there, on KITTI's layout."""
    for i in range(10):
        write_image(tmp_path / f'training/image_2/{i:06d}_10.png', seed=i)
        write_mask(tmp_path / f'training/semantic/{i:06d}_10.png', [7, 26, 0])
        write_image(tmp_path / f'testing/image_2/{i:06d}_10.png', seed=100 + i)
    module = types.ModuleType('s4mim_jax.data.kitti')
    exec(compile(re.sub('^    ', '', pages.between('reader'), flags=re.MULTILINE), 'kitti.py', 'exec'), module.__dict__)
    monkeypatch.setitem(sys.modules, 's4mim_jax.data.kitti', module)
    for name, place in re.findall("'(.*?)': '(.*?)'", pages.between('line')):
        monkeypatch.setitem(source.READERS, name, place)
    kitti = open_source(data_config('kitti', tmp_path))
    assert kitti.num_classes == 19 and len(kitti.splits['train']) == 8
    assert [s.id for s in evaluation_split(kitti, 'val')] == ['000000_10', '000005_10']
    split = training_split(kitti, 'seeded:1/4', 0)
    assert len(split.labeled) == 2 and check_samples(kitti, split.labeled)[split.labeled[0]].classes == (0, 13)
    write_mask(tmp_path / 'training/semantic/000001_10.png', [7, 60])
    with pytest.raises(InputError, match='000001_10.png: mask values 60 are outside the 19 classes\nvalid: 0..33 '):
        check_samples(kitti, kitti.splits['train'])
    with pytest.raises(InputError, match='label_map=7:19 maps to class 19'):
        open_source(data_config('kitti', tmp_path, label_map='7:19'))


@pytest.mark.parametrize('name, classes', [('cityscapes', 19), ('ade20k', 150), ('coco', 81), ('voc', 21)])
@pytest.mark.parametrize('method', ['unimatch', 'supervised', 's4mim'])
def test_configs(monkeypatch, tmp_path, name, classes, method):
    monkeypatch.setenv('S4MIM_DATA', str(tmp_path))
    config = command_line.load_config(f'{ROOT}/configs/{name}.py:{method},split=1_8', [])
    validate(config)
    assert config.data.name == name and config.data.split == '1_8' and config.method.name == method
    known = dataset.look_up(config, unlabeled=True)
    assert known.num_classes == classes and known.images is None and repr(name) in known.source
    with pytest.raises(InputError, match=f'{name!r} not found: no folder data/{name}'):
        open_source(config.data)


@pytest.mark.parametrize('name, classes', [('voc:aug', 21), ('tfds:oxford_iiit_pet', 3), ('tfds:scene_parse150', 101),
                                           ('tfds:cityscapes/semantic_segmentation', 19)])
def test_what_a_plan_knows_without_data(monkeypatch, tmp_path, name, classes):
    monkeypatch.setenv('S4MIM_DATA', str(tmp_path))
    monkeypatch.setenv('HOME', str(tmp_path))
    config = command_line.load_config(f'{ROOT}/configs/voc.py:unimatch', [('data.name', name)])
    assert dataset.look_up(config, unlabeled=True).num_classes == classes


def test_a_plan_counts_the_images_that_are_there(tmp_path):
    write_cityscapes(tmp_path)
    overrides = [('data.dir', str(tmp_path)), ('data.split', 'seeded:1/4')]
    config = command_line.load_config(f'{ROOT}/configs/cityscapes.py:unimatch', overrides)
    assert dataset.look_up(config, unlabeled=True)[:2] == (19, 3)
    assert dataset.look_up(config, unlabeled=False)[:2] == (19, 1)


def test_a_plan_of_an_unknown_dataset():
    config = command_line.load_config(f'{ROOT}/configs/voc.py:unimatch', [('data.name', 'tfds:fields')])
    with pytest.raises(InputError, match='data.name=tfds:fields: the number of classes is unknown'):
        dataset.look_up(config, unlabeled=True)
    config = command_line.load_config(f'{ROOT}/configs/voc.py:unimatch', [('data.name', 'imagenet')])
    with pytest.raises(InputError, match='imagenet: unknown dataset\nvalid: ade20k, camvid'):
        dataset.look_up(config, unlabeled=True)
