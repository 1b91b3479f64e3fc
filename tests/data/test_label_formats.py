"""Labels of annotation tools: read as they are, converted, and refused where they are not whole."""

import json
import re

import label_exports
import numpy as np
import pytest
from dataset_trees import data_config
from label_exports import CLASSES, LEAF, SIZE, truth
from PIL import Image

from s4mim_jax import data
from s4mim_jax.config.errors import InputError
from s4mim_jax.convert_labels import convert
from s4mim_jax.data.label_formats import read_labels, run_lengths
from s4mim_jax.data.label_formats.regions import Rings, Runs, ellipse, fill, rectangle
from s4mim_jax.data.samples import read_label

EXPORTS = {
    'labelme JSON': label_exports.labelme,
    'COCO JSON': label_exports.coco,
    'COCO JSON, runs as a list': lambda root: label_exports.coco(root, 'list'),
    'COCO JSON, runs as text': lambda root: label_exports.coco(root, 'text'),
    'Label Studio JSON': label_exports.label_studio,
    'Label Studio JSON, MIN': lambda root: label_exports.label_studio(root, small=True),
    'CVAT for images 1.1': label_exports.cvat,
    'CVAT Segmentation mask 1.1': label_exports.cvat_masks,
    'Roboflow masks': label_exports.roboflow,
    'YOLO segmentation': label_exports.yolo,
}


@pytest.mark.parametrize('name', EXPORTS)
def test_an_export_is_read_as_it_is_and_converts_to_the_same(name, tmp_path, capsys):
    source = data.open_source(data_config('folder', EXPORTS[name](tmp_path / 'export')))
    assert name.startswith(source.notes[0].removeprefix('labels read from ').partition(':')[0])
    convert(tmp_path / 'export', tmp_path / 'out')
    assert source.notes[0] in capsys.readouterr().out
    written = data.open_source(data_config('folder', tmp_path / 'out'))
    for opened in (source, written):
        # COCO lists its categories in order of their ids: leaf is 3, bug 7.
        order = CLASSES if not name.startswith('COCO') else (CLASSES[0], CLASSES[2], CLASSES[1])
        assert opened.classes == order and set(opened.splits) == {'train', 'val'}
        by_split = {split: {s.id.partition('_')[0]: s for s in samples} for split, samples in opened.splits.items()}
        assert {s: sorted(v) for s, v in by_split.items()} == {'train': ['a', 'plain'], 'val': ['v']}
        assert by_split['train']['plain'].mask is None
        table = data.check_samples(opened, [s for split in opened.splits.values() for s in split])
        assert table[by_split['train']['a']].mask_kind in ('gray8', 'other')
        for sample in (by_split['train']['a'], by_split['val']['v']):
            names = np.array(opened.classes)[read_label(opened, sample)]
            np.testing.assert_array_equal(names, np.array(CLASSES)[truth()])
    pixels = [np.asarray(Image.open(s.splits['train'][0].image)) for s in (source, written)]
    np.testing.assert_array_equal(*pixels)


def test_training_reads_an_export_as_ordinary_masks(tmp_path):
    """Through the cache of the scan too: a changed annotation file is read again."""
    root = label_exports.yolo(tmp_path / 'export')
    open_ = lambda: data.open_source(data_config('folder', root))
    source = open_()
    sample = source.splits['train'][0]
    assert data.check_samples(source, [sample])[sample].classes == (0, 1, 2)
    (root / 'labels/train/a.txt').write_text('1 0.1 0.1 0.9 0.1 0.9 0.9\n')
    source = open_()
    sample = source.splits['train'][0]
    assert data.check_samples(source, [sample])[sample].classes == (0, 2)


def test_overlaps_follow_the_rule_of_the_format(tmp_path):
    """labelme paints in the order of the file: a leaf that comes last hides the bug."""
    labels = read_labels(label_exports.labelme(tmp_path, order=('bug', 'leaf')))
    from s4mim_jax.data.label_formats.opening import mask_of
    ids = mask_of(next(p for p in labels.pictures if p.id == 'a'), labels)
    assert labels.classes.index('leaf') in ids and labels.classes.index('bug') not in ids
    assert labels.left_out == {"shapes of type 'point', which have no area": 2}


def test_a_list_of_classes_decides_order_and_background(tmp_path):
    label_exports.labelme(tmp_path)
    (tmp_path / 'classes.txt').write_text('0 leaf\n1 bug\n')
    source = data.open_source(data_config('folder', tmp_path))
    sample = next(s for s in source.splits['train'] if s.id == 'a')
    ids = read_label(source, sample)
    assert source.classes == ('leaf', 'bug') and 'ignored' in source.notes[0]
    np.testing.assert_array_equal(ids, np.array([255, 1, 0])[truth()])
    (tmp_path / 'classes.txt').write_text('0 leaf\n1 snail\n')
    source = data.open_source(data_config('folder', tmp_path))
    with pytest.raises(InputError, match="(?s)a.json, shape 1: label 'bug'.*valid: leaf, snail"):
        read_label(source, sample)


def test_empty_images_can_be_background(tmp_path):
    convert(label_exports.yolo(tmp_path / 'export'), tmp_path / 'out', 'background')
    source = data.open_source(data_config('folder', tmp_path / 'out'))
    plain = next(s for s in source.splits['train'] if s.id == 'plain')
    assert not read_label(source, plain).any()


def _edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


COCO_FILE = 'annotations/instances_train2017.json'
BAD = {
    'point outside': (label_exports.coco, lambda r: _edit(r / COCO_FILE, lambda c: c['annotations'][0].update(
        segmentation=[[10, 6, 40, 6, 14, 10]])), r'annotations\[0\].*\(40, 6\) lies outside.*24 x 32'),
    'unknown category': (label_exports.coco, lambda r: _edit(r / COCO_FILE, lambda c: c['annotations'][0].update(
        category_id=99)), r'annotations\[0\] \(id 1\): category_id 99.*3 \(leaf\), 7 \(bug\)'),
    'unknown image': (label_exports.coco, lambda r: _edit(r / COCO_FILE, lambda c: c['annotations'][0].update(
        image_id=5)), 'image_id 5'),
    'image listed twice': (label_exports.coco, lambda r: _edit(r / COCO_FILE, lambda c: c['images'].append(
        c['images'][0] | {'id': 77})), "'a.jpg' is listed twice"),
    'missing image': (label_exports.coco, lambda r: (r / 'train2017/a.jpg').unlink(), "no image 'a.jpg'"),
    'other size': (label_exports.coco, lambda r: _edit(r / COCO_FILE, lambda c: c['images'][0].update(height=48)),
                   'recorded for an image of 48 x 32.*is 24 x 32'),
    'no segmentation': (label_exports.coco, lambda r: _edit(r / COCO_FILE, lambda c: c['annotations'][0].update(
        segmentation=[])), 'no segmentation'),
    'two points': (label_exports.coco, lambda r: _edit(r / COCO_FILE, lambda c: c['annotations'][0].update(
        segmentation=[[1, 1, 2, 2]])), r'2 point\(s\)'),
    'odd coordinates': (label_exports.coco, lambda r: _edit(r / COCO_FILE, lambda c: c['annotations'][0].update(
        segmentation=[[1, 1, 2, 2, 3]])), 'no pairs'),
    'runs too short': (lambda r: label_exports.coco(r, 'list'), lambda r: _edit(
        r / COCO_FILE, lambda c: c['annotations'][0]['segmentation'].update(counts=[3, 9])),
        'run lengths of 12 pixels.*24 x 32 = 768'),
    'runs cut off': (lambda r: label_exports.coco(r, 'text'), lambda r: _edit(
        r / COCO_FILE, lambda c: c['annotations'][0]['segmentation'].update(
            counts=c['annotations'][0]['segmentation']['counts'][:-2])), 'run lengths'),
    'runs no code': (lambda r: label_exports.coco(r, 'text'), lambda r: _edit(
        r / COCO_FILE, lambda c: c['annotations'][0]['segmentation'].update(counts='!!')), "holds '!'"),
    'half a file': (label_exports.labelme, lambda r: (r / 'a.json').write_text('{"shapes": ['),
                    'a.json.*not valid JSON'),
    'two files an image': (label_exports.labelme, lambda r: (r / 'b.json').write_text((r / 'a.json').read_text()),
                           'label the same image a.jpg'),
    'renamed label': (label_exports.labelme, lambda r: _edit(r / 'a.json', lambda c: c['shapes'][0].pop('label')),
                      '`label` is .None'),
    'brush of another size': (label_exports.label_studio, lambda r: _edit(
        r / 'project-4-at-2026-05-01.json', lambda c: c[0]['annotations'][0]['result'][0].update(original_width=31)),
        'run lengths of 3072 values, but 4 x 24 x 31'),
    'brush cut off': (label_exports.label_studio, lambda r: _edit(
        r / 'project-4-at-2026-05-01.json', lambda c: c[0]['annotations'][0]['result'][0]['value'].update(
            rle=c[0]['annotations'][0]['result'][0]['value']['rle'][:9])), 'end within a block'),
    'unknown CVAT label': (label_exports.cvat, lambda r: (r / 'annotations.xml').write_text(
        (r / 'annotations.xml').read_text().replace('label="bug"', 'label="bgu"')), "label 'bgu'.*bug, leaf"),
    'CVAT mask outside': (label_exports.cvat, lambda r: (r / 'annotations.xml').write_text(
        (r / 'annotations.xml').read_text().replace('left="10"', 'left="30"')), '4 x 4 at row 6, column 30'),
    'CVAT runs': (label_exports.cvat, lambda r: (r / 'annotations.xml').write_text(
        (r / 'annotations.xml').read_text().replace('"0, 16"', '"0, 15"')), 'run lengths of 15 pixels'),
    'unlisted colour': (label_exports.cvat_masks, lambda r: Image.fromarray(np.full((24, 32, 3), 9, np.uint8)).save(
        r / 'SegmentationClass/a.png'), r'\(9, 9, 9\)'),
    'unlisted value': (label_exports.roboflow, lambda r: Image.fromarray(np.full(SIZE, 9, np.uint8)).save(
        r / 'train/a_jpg.rf.0123_mask.png'), 'values 9 are not in _classes.csv'),
    'unknown YOLO class': (label_exports.yolo, lambda r: (r / 'labels/train/a.txt').write_text('7 0 0 1 0 1 1\n'),
                           'a.txt, line 1: class 7.*0..1'),
    'YOLO box': (label_exports.yolo, lambda r: (r / 'labels/train/a.txt').write_text('0 .5 .5 .1 .1\n'), 'a box'),
    'YOLO pixels': (label_exports.yolo, lambda r: (r / 'labels/train/a.txt').write_text('0 1 1 9 1 9 9\n'),
                    r'\(9, 1\) lies outside.*0..1'),
    'nothing drawn': (label_exports.yolo, lambda r: [p.write_text('') for p in r.glob('labels/*/*.txt')],
                      'nothing is drawn on any of the 3'),
}


@pytest.mark.parametrize('name', BAD)
def test_what_is_not_whole_is_refused_and_nothing_is_written(name, tmp_path):
    make, spoil, message = BAD[name]
    root = make(tmp_path / 'export')
    spoil(root)
    with pytest.raises(InputError) as caught:
        convert(root, tmp_path / 'out')
    text = str(caught.value)
    assert len(text.splitlines()) <= 3 and re.search(message, text, re.DOTALL), text
    assert sorted(p.name for p in tmp_path.iterdir()) == ['export']


def test_an_image_turned_by_exif_is_named(tmp_path):
    root = label_exports.coco(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(root / 'train2017/a.jpg')
    image.save(root / 'train2017/a.jpg', exif=exif)
    source = data.open_source(data_config('folder', root))
    with pytest.raises(InputError, match='(?s)24 x 32.*is 32 x 24.*EXIF'):
        read_label(source, source.splits['train'][0])


def test_same_names_in_two_folders_need_a_path(tmp_path):
    root = label_exports.coco(tmp_path)
    label_exports.picture(root / 'other/a.jpg')
    assert len(read_labels(root).pictures) == 4  # train2017/ is named by the file
    (root / 'annotations/instances_train2017.json').rename(root / 'labels.json')
    (root / 'annotations/instances_val2017.json').unlink()
    with pytest.raises(InputError, match="'a.jpg' may be other/a.jpg or train2017/a.jpg"):
        read_labels(root)


def test_fill_takes_the_pixels_whose_centre_is_inside():
    square = fill(np.array(LEAF, float), SIZE)
    assert square[3:19, 4:24].all() and square.sum() == 20 * 16
    assert fill(np.array([(0.4, 0.4), (1.6, 0.4), (1.6, 1.6), (0.4, 1.6)]), (3, 3)).sum() == 4
    assert fill(np.array([(0.6, 0.6), (1.4, 0.6), (1.4, 1.4), (0.6, 1.4)]), (3, 3)).sum() == 0
    # Two triangles share a diagonal: every pixel belongs to exactly one of them.
    upper, lower = ([(0, 0), (9, 0), (9, 9)], [(0, 0), (9, 9), (0, 9)])
    assert (fill(np.array(upper, float), (9, 9)).astype(int) + fill(np.array(lower, float), (9, 9))).tolist() == \
        np.ones((9, 9), int).tolist()
    circle = fill(ellipse(50, 50, 30, 20), (100, 100)).sum()
    assert abs(circle - np.pi * 600) < 0.01 * np.pi * 600
    turned = rectangle(5, 5, 4, 2, degrees=90)  # clockwise about its upper left corner
    np.testing.assert_allclose(turned, [(5, 5), (5, 9), (3, 9), (3, 5)], atol=1e-9)


def test_points_a_little_outside_are_clipped():
    ring = Rings((np.array([(-0.9, 0), (32.9, 0), (32, 24.5), (0, 24)]),))
    assert ring.mask(SIZE, 'here').all()


def test_run_lengths_of_coco_are_those_of_the_reference():
    """The text for these masks was computed by hand from the definition: columns, five bits a character."""
    counts = [6, 1, 40, 4, 5, 4, 5, 4, 21]  # the example of the reference implementation's documentation has this form
    text = run_lengths.coco_text(counts)
    np.testing.assert_array_equal(run_lengths.coco_counts(text, (9, 10), 'x'), counts)
    assert run_lengths.coco_text([0, 1, 31]) == '01o0'  # 31 needs two characters: 5 bits are signed
    random = np.random.default_rng(0).random((37, 53)) < 0.3
    counts = run_lengths.counts_of(random.T)
    decoded = Runs(run_lengths.coco_counts(run_lengths.coco_text(counts), (37, 53), 'x'), (37, 53), by_column=True)
    np.testing.assert_array_equal(decoded.mask((37, 53), 'x'), random)
    official = pytest.importorskip('pycocotools.mask')
    assert official.encode(np.asfortranarray(random.astype(np.uint8)))['counts'].decode() == \
        run_lengths.coco_text(counts)


def test_brushes_of_label_studio_come_back():
    mask = np.random.default_rng(1).random((19, 23)) < 0.5
    mask[3:9] = True
    np.testing.assert_array_equal(run_lengths.brush_alpha(run_lengths.brush_data(mask), (19, 23), 'x') > 127, mask)
    # One pixel, written out bit by bit: 4 values of 8 bits, lengths of 3, 4, 8, 16 bits, values that do not repeat.
    bits = f'{4:032b}' + f'{7:05b}' + '0010' '0011' '0111' '1111' + '0' + '00' + '011' + ''.join(
        f'{v:08b}' for v in (1, 2, 3, 200))
    bits += '0' * (-len(bits) % 8)
    data_ = [int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)]
    assert run_lengths.brush_alpha(data_, (1, 1), 'x').tolist() == [[200]]


def test_convert_labels_refuses_what_is_no_export(tmp_path):
    (tmp_path / 'photos').mkdir()
    label_exports.picture(tmp_path / 'photos/a.jpg')
    with pytest.raises(InputError, match='no labels of a known tool'):
        convert(tmp_path / 'photos', tmp_path / 'out')
    with pytest.raises(InputError, match='no such folder'):
        convert(tmp_path / 'missing', tmp_path / 'out')
    with pytest.raises(InputError, match='not empty'):
        convert(label_exports.yolo(tmp_path / 'export'), tmp_path / 'photos')
    assert not (tmp_path / 'out').exists()


def test_roboflows_coco_lies_beside_the_images_of_each_split(tmp_path):
    """`_annotations.coco.json` in every folder, the same names in both, and category 0 for the dataset as a whole."""
    label_exports.coco(tmp_path / 'coco')
    content = json.loads((tmp_path / 'coco' / COCO_FILE).read_text())
    content['categories'] = [{'id': 0, 'name': 'garden', 'supercategory': 'none'}] + [
        c | {'supercategory': 'garden'} for c in content['categories']]
    for number, split in enumerate(('train', 'valid')):
        for i, name in enumerate(('a', 'plain')):
            label_exports.picture(tmp_path / f'set/{split}/{name}.jpg', 10 * number + i)
        (tmp_path / f'set/{split}/_annotations.coco.json').write_text(json.dumps(content))
    source = data.open_source(data_config('folder', tmp_path / 'set'))
    assert source.classes == ('background', 'leaf', 'bug')
    for split, folder in (('train', 'train'), ('val', 'valid')):
        (sample,) = [s for s in source.splits[split] if s.mask]
        assert f'/{folder}/a.jpg' in sample.image
        np.testing.assert_array_equal(read_label(source, sample), np.array([0, 2, 1])[truth()])


def test_a_labelme_file_may_be_renamed_with_its_image(tmp_path):
    root = label_exports.labelme(tmp_path)
    for suffix in ('jpg', 'json'):
        (root / f'a.{suffix}').rename(root / f'b.{suffix}')
    source = data.open_source(data_config('folder', root))
    assert {s.id for s in source.splits['train'] if s.mask} == {'b'}
    (root / 'b.jpg').unlink()
    with pytest.raises(InputError, match='no image'):
        data.open_source(data_config('folder', root))


def test_two_tools_in_a_folder_are_refused(tmp_path):
    label_exports.labelme(label_exports.coco(tmp_path))
    with pytest.raises(InputError, match='of two formats'):
        read_labels(tmp_path)
