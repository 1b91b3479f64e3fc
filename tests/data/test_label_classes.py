"""Classes: too few, two of one name, none that a label shows; and that a run's class ids keep their meaning."""

import json

import numpy as np
import pytest
from dataset_trees import data_config, write_folder, write_image, write_lists, write_mask
from mask_files import TABLE, encoded, squares, write_dataset
from PIL import Image

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import check_samples, label_notes, open_source, training_split
from s4mim_jax.data.check import pictures, report
from s4mim_jax.data.check.audit import TURNED, UNTURNED, audit
from s4mim_jax.data.label_map import mask_lookup, parse
from s4mim_jax.data.samples import read_label
from s4mim_jax.evaluation.confusion import scores
from s4mim_jax.runs.run_folder import check_same_classes

IDS = [squares(n) for n in range(4)]


@pytest.mark.parametrize('lines, settings, words', [
    ('0 thing\n', {'label_map': '255:0'}, "one class, 'thing'.*\n.*the background\\) is a class too"),
    ('', {'label_map': '1:0,2:0'}, "one class, 'class_0'"),
    ('0 background\n1 thing\n2 thing\n', {}, "the classes 1 and 2 have one name, 'thing'")])
def test_classes_that_no_score_can_tell_apart(tmp_path, lines, settings, words):
    root = write_dataset(tmp_path, IDS, lines)
    with pytest.raises(InputError, match=words):
        open_source(data_config('folder', root, **settings))


def test_the_mean_is_over_classes_not_names():
    confusion = np.array([[90, 5, 5], [0, 10, 0], [10, 0, 0]])
    assert scores(confusion, ['a', 'b', 'b'])['miou'] == scores(confusion, ['a', 'b', 'c'])['miou']


def test_classes_that_no_label_shows_are_told(tmp_path):
    root = write_dataset(tmp_path, [squares(0, (1,)), squares(1, (1,))], '0 background\n1 red\n2 green\n3 blue\n')
    source = open_source(data_config('folder', root))
    notes = label_notes(source, source.splits['train'], check_samples(source, source.splits['train']))
    assert notes == ['WARNING: none of the 2 labelled masks shows 2 of the 4 classes, which can not be learned: '
                     'green, blue']


def test_instance_masks_without_class_names_are_warned_about(tmp_path):
    masks = [np.minimum(np.arange(192).reshape(12, 16) // 20, top).astype(np.uint8) for top in (3, 6, 9, 5)]
    source = open_source(data_config('folder', write_dataset(tmp_path, masks, None)))
    assert source.num_classes == 10 and any('label_map=0:0,1-9:1' in note for note in source.notes)
    mapped = open_source(data_config('folder', tmp_path, label_map='0:0,1-9:1'))
    assert mapped.num_classes == 2 and not mapped.notes
    check_samples(mapped, mapped.splits['train'])
    np.testing.assert_array_equal(read_label(mapped, mapped.splits['train'][0]), masks[0] > 0)
    for number, mask in enumerate(masks):  # a class that comes without the one before it is no counter
        masks[number] = np.where(mask == 1, 0, mask)
    plain = open_source(data_config('folder', write_dataset(tmp_path / 'b', [*masks, np.uint8([[1] * 16] * 12)], None)))
    assert not plain.notes


def test_ranges_of_a_label_map():
    assert parse('0:0,1-3:1, 5 - 6 : 2') == {0: 0, 1: 1, 2: 1, 3: 1, 5: 2, 6: 2}
    lookup = mask_lookup('1-150:0-149')
    assert lookup[[0, 1, 150, 151, 255]].tolist() == [255, 0, 149, 255, 255]
    for bad in ('1-3', '3-1:0', '1-3:0-1', '1-300:0', '-3:0'):
        with pytest.raises(InputError, match='is not VALUE:CLASS.*nor a range'):
            parse(bad)
    with pytest.raises(InputError, match='value 2 is given to the classes 1 and 0'):
        parse('1-3:1,2:0')


def as_run(root, **settings):
    source = open_source(data_config('folder', root, **settings))
    check_samples(source, source.splits['train'])
    return source, json.loads(json.dumps({'classes': source.classes, 'palette': source.palette.tolist(),
                                          'masks': source.masks.record(source)}))


@pytest.mark.parametrize('lines, words', [
    ('0 background 0 0 0\n1 green 30 200 40\n2 red 220 30 30\n', "class 1 is 'red' with the colour .*, 'green' with"),
    ('0 background 0 0 0\n1 red 30 200 40\n2 green 220 30 30\n',
     r"class 1 is 'red' .*\(220, 30, 30\) there, 'red' with"),
    ('0 background 0 0 0\n1 red 220 30 30\n2 green 30 200 40\n3 blue 1 2 3\n', 'a run of 3 classes, .* has 4')])
def test_a_run_goes_on_with_its_own_classes_only(tmp_path, lines, words):
    root = write_dataset(tmp_path, [encoded(TABLE[i]) for i in IDS])
    source, run = as_run(root)
    check_same_classes('runs/x', run, source)
    check_same_classes('runs/x', {key: run[key] for key in ('classes', 'palette')}, source)  # of an earlier version
    (root / 'classes.txt').write_text(lines)
    with pytest.raises(InputError, match=words):
        check_same_classes('runs/x', run, as_run(root)[0])


def test_a_run_goes_on_with_masks_of_its_own_kind_only(tmp_path):
    root = write_dataset(tmp_path, [encoded(TABLE[i]) for i in IDS])
    run = as_run(root)[1]
    for number, ids in enumerate(IDS):
        (root / f'masks/train/t{number}.png').write_bytes(encoded(ids))
    with pytest.raises(InputError, match='masks were read in another way'):
        check_same_classes('runs/x', run, as_run(root)[0])


def turned_dataset(root, sizes):
    """Square and oblong images of which t1 and t2 are turned by EXIF and their masks are not."""
    write_folder(root, train=0, val=1)
    for number, (size, turn) in enumerate(sizes):
        exif = Image.Exif()
        exif[0x0112] = turn
        write_image(root / f'images/train/t{number}.jpg', size, exif=exif)
        write_mask(root / f'masks/train/t{number}.png', [0, 1, 2], size)
    return root


def test_exif_is_named_where_it_is_the_cause(tmp_path):
    root = turned_dataset(tmp_path, [((12, 16), 1), ((12, 16), 6)])
    source = open_source(data_config('folder', root))
    with pytest.raises(InputError, match=r't1.png: mask is 12x16, its image \S*t1.jpg is 16x12 .*\n.*EXIF orientation '
                                         r'\(6\), the mask is not'):
        check_samples(source, source.splits['train'])


def test_pairs_that_exif_may_have_parted_are_counted_and_one_is_shown(tmp_path, capsys, monkeypatch):
    from s4mim_jax.config import command_line
    from s4mim_jax.data.check.__main__ import check
    root = turned_dataset(tmp_path / 'd', [((12, 16), 1), ((12, 16), 3), ((12, 12), 8), ((12, 16), 6)])
    # A mask that was drawn on the upright picture has its size, and nothing is said.
    exif = Image.Exif()
    exif[0x0112] = 6
    write_image(root / 'images/train/t4.jpg', (16, 12), exif=exif)
    write_mask(root / 'masks/train/t4.png', [0, 1, 2], (12, 16))
    source = open_source(data_config('folder', root))
    found = audit(source, {'train': source.splits['train']}, {'train'})
    kinds = [finding.kind for finding in found.findings]
    assert kinds.count(TURNED) == 2 and kinds.count(UNTURNED) == 1
    config = command_line.load_config('configs/folder.py:supervised', [('data.dir', str(root))])
    (tmp_path / 'out').mkdir()
    drawn = []
    monkeypatch.setattr(pictures, 'samples', lambda source, groups, same, count: drawn.append(groups))
    result = check(config, output=tmp_path / 'out')
    assert result['refused'] == 1 and f'{TURNED}: 2' in capsys.readouterr().out
    assert [sample.id for sample in drawn[0]['turned by EXIF']] == ['t1']


def test_equal_messages_become_one(tmp_path):
    root = write_dataset(tmp_path, [np.where(i == 2, 9, i).astype(np.uint8) for i in IDS * 3], '0 background\n1 red\n')
    source = open_source(data_config('folder', root))
    found = audit(source, {'train': source.splits['train']}, {'train'})
    lines = report.as_text(source, {
        'dataset': 'folder', 'dir': source.dir, 'split': {'name': 'all'}, 'evaluated_on': 'val', 'same': {},
        'groups': {}, 'mask_values': {'classes': '', 'ignored': ''}, 'findings': [f._asdict() for f in found.findings],
        'refused': 12}).splitlines()
    assert sum('values 9; valid' in line for line in lines) == 1
    assert any('the same of 11 more: t1.png, t10.png, t11.png, ...' in line for line in lines)


def test_an_image_named_twice_in_a_list_has_no_mask(tmp_path):
    """UniMatch's way to list unlabelled images: the photograph itself stands where a mask would."""
    root = write_folder(tmp_path)
    (root / 'masks/train/t3.png').unlink()
    write_lists(root, 'a', ['t0', 't1'], ['images/train/t2.jpg images/train/t2.jpg', 't3 images/train/t3.jpg',
                                          'images/train/t4.jpg masks/train/t4.png'])
    split = training_split(open_source(data_config('folder', root)), 'a', 0)
    assert [(s.id, s.mask is None) for s in split.unlabeled] == [('t2', True), ('t3', True), ('t4', False)]
    write_lists(root, 'b', ['images/train/t2.jpg images/train/t2.jpg'], ['t0'])
    with pytest.raises(InputError, match='1 of 1 lines have no mask'):
        training_split(open_source(data_config('folder', root)), 'b', 0)
