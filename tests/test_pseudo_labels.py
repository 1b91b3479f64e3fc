"""Pseudo-labels as files, and the loop: train, predict, learn from what was predicted."""

import csv
import json
import shutil

import numpy as np
import pytest
import tiny
import tiny_run
from dataset_trees import data_config, write_ade20k, write_image
from mask_files import encoded, palette_mask, squares, write_dataset
from PIL import Image

from s4mim_jax import data, load
from s4mim_jax.config.errors import InputError
from s4mim_jax.data.mask_meaning import read_labels
from s4mim_jax.data.samples import read_label
from s4mim_jax.predict import predict_files
from s4mim_jax.prediction.pseudo_label_files import PseudoLabels, named_images, unlabelled_images
from s4mim_jax.runs.loop import train

PALETTE = np.array([[0, 0, 0], [255, 0, 0], [0, 128, 64]], np.uint8)
NAMES = ('ground', 'leaf', 'stone')


@pytest.mark.parametrize('label_map, raw', [(None, [0, 1, 2, 255]), ('0:0,100:1,255:2', [0, 100, 255, 128]),
                                            ('7:0,1:1,2:2,9:2', [7, 1, 2, 255])])
def test_masks_are_written_in_the_values_of_the_dataset(tmp_path, label_map, raw):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 3, (9, 14), dtype=np.uint8)
    confidence = rng.random((9, 14)).astype(np.float32)
    image = rng.integers(0, 256, (9, 14, 2), dtype=np.uint8)
    writer = PseudoLabels(tmp_path, 0.4, NAMES, PALETTE, label_map)
    entry = writer.write('a/b', image, ids, confidence)
    kept = confidence >= 0.4
    stored = np.asarray(Image.open(tmp_path / 'a/b.png'))
    np.testing.assert_array_equal(stored, np.where(kept, np.array(raw)[ids], raw[3]))
    shown = np.asarray(Image.open(tmp_path / 'a/b.png').convert('RGB'))
    np.testing.assert_array_equal(shown[kept], PALETTE[ids][kept])
    levels = np.asarray(Image.open(tmp_path / 'a/b_confidence.png'))
    assert levels.dtype == np.uint8
    np.testing.assert_allclose(levels / 255, confidence, atol=0.5 / 255 + 1e-6)
    assert entry.kept == pytest.approx(kept.mean()) and entry.confidence == pytest.approx(confidence.mean())
    assert np.asarray(Image.open(tmp_path / 'a/b_overlay.jpg')).shape == (9, 14, 3)
    # As masks of a dataset with that map they mean what was predicted.
    write_image(tmp_path / 'set/images/train/x.png', (9, 14))
    (tmp_path / 'set/masks/train').mkdir(parents=True)
    shutil.copy(tmp_path / 'a/b.png', tmp_path / 'set/masks/train/x.png')
    (tmp_path / 'set/classes.txt').write_text(''.join(f'{i} {n} {i} 0 0\n' for i, n in enumerate(NAMES)))
    source = data.open_source(data_config('folder', tmp_path / 'set', label_map=label_map))
    np.testing.assert_array_equal(read_label(source, source.splits['train'][0]), np.where(kept, ids, 255))


MINE = np.array([[9, 9, 9], [1, 77, 200], [128, 0, 0]], np.uint8)  # nobody's colours, but for VOC's first as class 2


@pytest.mark.parametrize('lines, settings, mask', [
    ('0 ground 0 0 0\n1 leaf 255 0 0\n2 stone 0 128 64\n', {}, lambda i: encoded(PALETTE[i])),
    ('0 ground 0 0 0\n1 leaf 255 0 0\n2 stone 0 128 64\n', {'mask_colors': 'always'}, lambda i: encoded(PALETTE[i])),
    ('0 ground 0 0 0\n1 leaf 255 0 0\n2 stone 0 128 64\n', {'label_map': '0:1,1:2,2:0'}, lambda i: encoded(PALETTE[i])),
    ('0 ground 0 0 0\n1 leaf 255 0 0\n2 stone 0 128 64\n', {}, lambda i: palette_mask(i, (0, 2, 1), PALETTE)),
    ('0 ground\n1 leaf\n2 stone\n', {}, lambda i: palette_mask(i, (0, 1, 2), MINE)),
    (None, {}, lambda i: palette_mask(i, (0, 1, 2), MINE)),
    ('0 ground 0 0 0\n1 leaf 255 255 255\n2 stone 128 128 128\n', {}, lambda i: encoded(i)),
    ('0 ground 0 0 0\n1 leaf 255 255 255\n', {}, lambda i: encoded(Image.fromarray(i > 0))),
    ('0 ground 0 0 0\n1 leaf 255 255 255\n', {'label_map': '0:0,255:1'}, lambda i: encoded(Image.fromarray(i > 0))),
    ('0 ground\n1 leaf\n', {'label_map': '0:0,255:1'}, lambda i: encoded(((i > 0) * 255).astype(np.uint8)))])
def test_the_next_run_reads_what_was_written_whatever_the_masks_are(tmp_path, lines, settings, mask):
    """Two masks of a person, two of the network beside them: one dataset, one reading."""
    ids = [squares(n) for n in range(4)]
    root = write_dataset(tmp_path, [mask(i) for i in ids], lines)
    source = data.open_source(data_config('folder', root, **settings))
    data.check_samples(source, source.splits['train'])
    record, classes = json.loads(json.dumps(source.masks.record(source))), source.num_classes
    writer = PseudoLabels(root / 'masks/train', 0.5, source.classes, source.palette, settings.get('label_map'), record)
    confidence = np.tile(np.linspace(0, 1, 16, dtype=np.float32), (12, 1))
    for number in (1, 2):
        writer.write(f't{number}', np.zeros((12, 16, 3), np.uint8), ids[number] % classes, confidence)
    before = read_label(source, source.splits['train'][0])
    source = data.open_source(data_config('folder', root, **settings))
    data.check_samples(source, source.splits['train'] + source.splits['val'])
    np.testing.assert_array_equal(read_label(source, source.splits['train'][0]), before)
    for number in (1, 2):
        np.testing.assert_array_equal(read_label(source, source.splits['train'][number]),
                                      np.where(confidence >= 0.5, ids[number] % classes, 255))


def test_they_are_written_in_the_values_of_the_reader(tmp_path):
    """Official masks of ADE20K hold class + 1: so do pseudo-labels of a run on them."""
    write_ade20k(tmp_path)
    source = data.open_source(data_config('ade20k', tmp_path))
    data.check_samples(source, source.splits['train'])
    writer = PseudoLabels(tmp_path / 'out', 0.5, source.classes, source.palette, None, source.masks.record(source))
    ids = np.array([[0, 5, 149]], np.uint8)
    writer.write('a', np.zeros((1, 3, 3), np.uint8), ids, np.array([[0.9, 0.9, 0.1]], np.float32))
    written = (tmp_path / 'out/a.png').read_bytes()
    np.testing.assert_array_equal(read_labels(source, written, 'a'), [[0, 5, 255]])


def test_unusable_settings_are_named(tmp_path):
    with pytest.raises(InputError, match='--ignore_below=1.5: a probability'):
        PseudoLabels(tmp_path, 1.5, NAMES, PALETTE, None)
    everything = ','.join(f'{value}:{value % 3}' for value in range(256))
    with pytest.raises(InputError, match='no value of a mask stands for ignore'):
        PseudoLabels(tmp_path, 0.5, NAMES, PALETTE, everything)
    with pytest.raises(InputError, match='no value of a mask stands for class 2'):
        PseudoLabels(tmp_path, 0.5, NAMES, PALETTE, '0:0,1:1')
    writer = PseudoLabels(tmp_path, 0.5, NAMES, PALETTE, None)
    writer.refuse_existing(['deep/b', 'a'])
    write_image(tmp_path / 'deep/b.png')
    with pytest.raises(InputError, match=r'deep/b.png is there already \(1 of 2 masks\).*\n.*--output'):
        writer.refuse_existing(['a', 'deep/b'])


def test_names_are_those_of_a_dataset(tmp_path):
    for name in ('in/a.png', 'in/deep/a.png', 'b.jpg'):
        write_image(tmp_path / name)
    paths, names = named_images([str(tmp_path / 'in'), str(tmp_path / 'b.jpg')], tmp_path / 'out')
    assert names == ['a', 'deep/a', 'b'] and paths[1] == tmp_path / 'in/deep/a.png'
    write_image(tmp_path / 'in/a_confidence.png')
    with pytest.raises(InputError, match='would write the same pseudo-label'):
        named_images([str(tmp_path / 'in')], tmp_path / 'out')


def dataset(root):
    """Six images, two of which have masks, one of them in a folder of its own."""
    tiny_run.dataset(root, sizes=((40, 48),) * 6)
    for number in (1, 2, 3, 5):
        (root / f'masks/train/train{number}.png').unlink()
    for kind in ('images', 'masks'):
        (root / kind / 'train/deep').mkdir()
        (root / kind / 'train/train4.png').rename(root / kind / 'train/deep/train4.png')
    return root


def run_of(root, workdir, steps=2):
    config = tiny.config('supervised', batch=8, crop=(24, 24))
    config.data.update(name='folder', dir=str(root), split='all')
    config.update(total_steps=steps)
    config.eval.update(every=0, multiple=8)
    config.checkpoint.every = 0
    config.log.update(every=1, images=0)
    assert train(config, workdir) == 0
    return config


@pytest.mark.slow
def test_the_loop_from_predictions_to_labels(tmp_path, capsys):
    root = dataset(tmp_path / 'data')
    config = run_of(root, tmp_path / 'first')
    paths, ids = unlabelled_images(config)
    assert ids == ['train1', 'train2', 'train3', 'train5']
    predictor = load(tmp_path / 'first')
    out = tmp_path / 'pseudo'
    out.mkdir()
    writer = PseudoLabels(out, 0.21, predictor.classes, predictor.palette, config.data.label_map)
    assert predict_files(predictor, paths, ids, out, pseudo=writer) == []
    assert 'of the pixels keep a class' in capsys.readouterr().out
    rows = list(csv.DictReader((out / 'confidence.csv').open()))
    assert sorted(row['id'] for row in rows) == ids
    assert [float(r['mean_confidence']) for r in rows] == sorted(float(r['mean_confidence']) for r in rows)
    for path, name in zip(paths, ids):
        found, top = predictor.predict([np.asarray(Image.open(path))], confidence=True)[0]
        stored = np.asarray(Image.open(out / f'{name}.png'))
        assert np.mean(stored != np.where(top >= 0.21, found, 255)) < 5e-3
    # All of the folder's PNGs may be copied: the confidences belong to no image.
    for path in out.glob('*.png'):
        shutil.copy(path, root / 'masks/train' / path.name)
    source = data.open_source(config.data)
    assert len(data.training_split(source, 'all', 0).labeled) == 6
    run_of(root, tmp_path / 'second')
    with pytest.raises(InputError, match="every training image of split 'all' is labelled"):
        unlabelled_images(config)
