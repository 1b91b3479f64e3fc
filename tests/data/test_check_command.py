"""`python -m s4mim_jax.data.check`: it lists all that is wrong, agrees with training, and draws samples."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from dataset_trees import data_config, write_folder, write_image, write_lists, write_mask, write_voc
from PIL import Image

from s4mim_jax.config import command_line
from s4mim_jax.config.errors import InputError
from s4mim_jax.data import check_samples, evaluation_split, open_source, training_split
from s4mim_jax.data.check import pictures
from s4mim_jax.data.check.__main__ import check
from s4mim_jax.data.check.sample_checks import valid_values

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / 'data')


def run(root, *settings, method='unimatch', name='folder', **options):
    overrides = [('data.dir', str(root)), ('data.name', name), *(s.split('=', 1) for s in settings)]
    return check(command_line.load_config(f'{ROOT}/configs/folder.py:{method}', overrides), **options)


def findings(result, kind):
    return sorted(os.path.basename(f['where']) for f in result['findings'] if f['kind'] == kind)


def training_refuses(root, spec='all'):
    """What training itself says to the same dataset."""
    source = open_source(data_config('folder', root))
    try:
        split = training_split(source, spec, 0)
        check_samples(source, split.labeled + split.unlabeled, cache_dir=None)
        check_samples(source, evaluation_split(source, 'val'), cache_dir=None)
    except InputError:
        return True
    return False


def test_counts_by_hand(root, capsys):
    write_mask(root / 'masks/train/t0.png', [0, 0, 0, 2], (12, 16))
    write_image(root / 'images/train/t0.jpg', (12, 16))
    (root / 'masks/train/t5.png').unlink()
    result = run(root, 'data.split=seeded:1/5')
    train = result['groups']['train']
    assert (train['images'], train['masks'], train['sizes']) == (6, 5, {'12x16': 6})
    assert train['image_kinds'] == {'jpeg': 6} and train['mask_kinds'] == {'gray8': 5}
    # Four masks of 0, 1, 2, 255 in equal parts of 192 pixels, one of three parts 0 and one part 2.
    assert list(train['pixels'].values()) == [4 * 48 + 144, 4 * 48, 4 * 48 + 48] and train['ignored_pixels'] == 4 * 48
    assert list(train['masks_with'].values()) == [5, 4, 5]
    assert train['share']['kind0'] == pytest.approx((4 * 48 + 144) / (5 * 192), abs=1e-6)
    assert [result['groups'][g]['images'] for g in ('labeled', 'unlabeled', 'val', 'test')] == [1, 5, 2, 1]
    assert result['refused'] == 0 and len(result['split']['hash']) == 64
    assert result['classes'] == ['kind0', 'kind1', 'kind2']
    assert result['mask_values'] == {'classes': '0..2', 'ignored': '255'}
    text = capsys.readouterr().out
    assert 'training can start' in text and '0 kind0  35.00 (5)' in text and '12x16' in text


def test_all_bad_files_are_listed_and_refused(root):
    for name in ('images/train/t0.jpg', 'images/train/t1.jpg', 'masks/train/t2.png'):
        (root / name).write_bytes((root / name).read_bytes()[:50])
    (root / 'images/train/t3.jpg').write_bytes(b'')
    write_mask(root / 'masks/train/t4.png', [0, 3, 200])
    write_mask(root / 'masks/val/v0.png', [0, 9])
    write_mask(root / 'masks/train/t5.png', [0], (16, 12))
    write_image(root / 'masks/val/v1.png')
    result = run(root)
    assert findings(result, 'cannot be used') == ['t0.jpg', 't1.jpg', 't2.png', 't3.jpg', 'v1.png']
    assert findings(result, 'values outside the classes') == ['t4.png', 'v0.png']
    assert findings(result, 'another size than the image') == ['t5.png']
    assert result['refused'] == 8 and training_refuses(root)
    message = next(f['message'] for f in result['findings'] if f['where'].endswith('t4.png'))
    assert 'values 3, 200; valid: 0..2 and 255 (ignore)' in message


def test_what_training_does_not_read_is_told_only(root):
    write_lists(root, 'some', ['t0', 't1'], ['t2', 't3'])
    for name in ('images/train/t5.jpg', 'images/test/t0.jpg'):
        (root / name).write_bytes(b'no image')
    write_mask(root / 'masks/test/t0.png', [0, 7])
    result = run(root, 'data.split=some')
    assert findings(result, 'cannot be used') == ['t0.jpg', 't5.jpg'] and result['refused'] == 0
    assert findings(result, 'values outside the classes') == ['t0.png'] and not training_refuses(root, 'some')
    (root / 'images/train/t3.jpg').write_bytes(b'no image')
    assert run(root, 'data.split=some')['refused'] == 1 and training_refuses(root, 'some')
    # A method that looks at labels alone does not read it.
    assert run(root, 'data.split=some', method='supervised')['refused'] == 0


def test_a_file_broken_in_the_middle_is_found_by_decoding(root):
    """Its header and its end are whole: training would meet it in the middle of an epoch."""
    path = root / 'images/train/t2.png'
    (root / 'images/train/t2.jpg').unlink()
    write_image(path, (12, 16))
    data = bytearray(path.read_bytes())
    data[60:120] = bytes(60)
    path.write_bytes(data)
    result = run(root)
    assert findings(result, 'cannot be used') == ['t2.png'] and result['refused'] == 1
    assert run(root, decode=False)['refused'] == 0


@pytest.mark.parametrize('labeled, unlabeled, words', [
    (['t0', 't3'], ['t1', 't3'], 'ids are in x_labeled.txt too'), (['t0', 'zebra'], ['t1'], "no image, e.g. 'zebra'"),
    (['t0', 'images/val/v0.jpg'], ['t1'], 'belong to val or test'), ([], ['t1'], 'empty split list')])
def test_bad_lists_are_refused_and_the_files_walked_all_the_same(root, labeled, unlabeled, words):
    write_lists(root, 'x', labeled, unlabeled)
    write_mask(root / 'masks/train/t4.png', [0, 77])
    result = run(root, 'data.split=x')
    assert words in next(f['message'] for f in result['findings'] if f['kind'] == 'no split')
    assert findings(result, 'values outside the classes') == ['t4.png'] and result['refused'] == 2
    assert result['split']['hash'] is None and training_refuses(root, 'x')


def test_missing_masks(root):
    (root / 'masks/train/t1.png').unlink()
    assert run(root)['refused'] == 0  # unlabelled images need none
    (root / 'masks/val/v1.png').unlink()
    result = run(root)
    assert result['refused'] == 1 and '1 of 2 images have no mask' in result['findings'][0]['message']
    assert training_refuses(root)


def test_masks_of_0_and_255(tmp_path):
    root = write_folder(tmp_path, values=(0, 255), classes=2)
    result = run(root)
    assert result['refused'] == 1 and 'label_map=0:0,255:1' in result['findings'][0]['message']
    assert run(root, 'data.label_map=0:0,255:1')['refused'] == 0


def test_colour_masks(root):
    """Read by the colours of classes.txt; a colour that is not there is named with its pixels."""
    (root / 'classes.txt').write_text('0 ground 10 20 30\n1 tree 0 200 0\n2 house 200 0 0\n255 void 0 0 0')
    colors = np.array([(10, 20, 30), (0, 200, 0), (200, 0, 0), (0, 0, 0)], np.uint8)
    for path in (root / 'masks').rglob('*.png'):
        Image.fromarray(colors[np.resize(np.arange(4), (12, 16))]).save(path)
    result = run(root)
    assert result['refused'] == 0 and list(result['groups']['train']['pixels'].values()) == [6 * 48] * 3
    odd = colors[np.resize(np.arange(4), (12, 16))]
    odd[0, :3] = (1, 2, 3)
    Image.fromarray(odd).save(root / 'masks/train/t2.png')
    result = run(root)
    assert findings(result, 'colours that classes.txt does not list') == ['t2.png'] and result['refused'] == 1
    assert '(1, 2, 3) in 3 pixels' in next(f['message'] for f in result['findings'] if 'colours' in f['kind'])
    assert training_refuses(root)


def test_images_of_one_channel(root):
    for path in (root / 'images').rglob('*.jpg'):
        with Image.open(path) as image:
            image.convert('L').save(path)
    result = run(root, 'data.channels=1')
    assert result['refused'] == 0
    source = open_source(data_config('folder', root, channels=1))
    assert pictures.samples(source, {'val': source.splits['val']}, {}, 1).mode == 'RGB'
    colored = run(root)  # three channels are made of one
    assert colored['refused'] == 0


def test_copies_and_shared_images(root):
    write_image(root / 'images/train/t1.jpg', seed=1)
    (root / 'images/val/v1.jpg').write_bytes((root / 'images/train/t3.jpg').read_bytes())
    (root / 'images/train/t5.jpg').write_bytes((root / 'images/train/t4.jpg').read_bytes())
    for i, name in enumerate(('images/val/v0.jpg', 'images/test/t0.jpg')):
        write_image(root / name, seed=100 + i)
    result = run(root)
    assert findings(result, 'copies in training and held-out images') == ['t3.jpg']
    assert findings(result, 'copies of one image') == ['t4.jpg'] and result['refused'] == 0
    text = next(f['message'] for f in result['findings'] if 'held-out' in f['kind'])
    assert 'train/t3.jpg (train, labeled, unlabeled)' in text and 'val/v1.jpg (val)' in text


def test_an_id_in_train_and_val(tmp_path):
    write_voc(tmp_path, val=('2009_9', '2007_1'))
    result = run(tmp_path, name='voc')
    assert findings(result, 'trained on and in val') == ['2007_1.jpg']
    assert result['same'] == {'labeled': 'train', 'unlabeled': 'train', 'test': 'val'}


def test_classes_that_no_label_shows(root):
    for i in range(6):
        write_mask(root / f'masks/train/t{i}.png', [0, 1] if i else [0, 2])
    write_lists(root, 'x', ['t1'], ['t0'])
    result = run(root, 'data.split=x')
    assert findings(result, 'classes without a pixel') == ['labeled'] and result['refused'] == 0
    assert 'labeled: kind2' in [f['message'] for f in result['findings']]


def test_pictures(root):
    source = open_source(data_config('folder', root))
    colors = pictures.colored(np.array([[0, 2, 255, 9]], np.uint8), source.palette)
    assert colors[0, [0, 1, 3]].tolist() == [[0, 0, 0], [0, 128, 0], [255, 0, 255]]
    assert colors[0, 2].tolist() in pictures.STRIPES.tolist()
    (root / 'images/train/t0.jpg').write_bytes(b'broken')
    groups = {'train': source.splits['train'], 'val': source.splits['val']}
    sheet = pictures.samples(source, groups, {}, 2)  # t0 is left out
    width, height = 320, 240  # 12 x 16 fills a cell
    row = height + pictures.LINE * 2 + 4 + pictures.MARGIN
    assert sheet.size == (3 * width + 4 * pictures.MARGIN, 3 * row + pictures.MARGIN)
    array = np.array(sheet)
    top, left = pictures.MARGIN + pictures.LINE, pictures.MARGIN
    mask = array[top:top + height, left + width + pictures.MARGIN:][:, :width]
    assert mask[height // 24, width // 32].tolist() == [0, 0, 0]  # the first pixel of t3's mask is class 0
    assert mask[height // 24, width * 3 // 32].tolist() == [128, 0, 0]  # the second is class 1
    assert pictures.samples(source, {'val': ()}, {}, 2) is None
    everything = groups | {'labeled': groups['train']}  # split=all
    assert pictures.samples(source, everything, {'labeled': 'train'}, 2).size == sheet.size


def test_valid_values_in_words(root):
    source = open_source(data_config('folder', root))
    assert valid_values(source) == '0..2 and 255 (ignore)'
    source.lookup[:] = 254
    source.lookup[[4, 5, 6, 9]] = 1
    assert valid_values(source) == '4..6, 9'


def check_command(*arguments, **options):
    return subprocess.run([sys.executable, '-m', 's4mim_jax.data.check', *arguments], cwd=ROOT, capture_output=True,
                          text=True, timeout=300, env=os.environ | {'JAX_PLATFORMS': 'cpu'}, **options)


def test_the_command(root, tmp_path):
    flags = [f'--config={ROOT}/configs/folder.py:unimatch,split=seeded:1/2', f'--config.data.dir={root}']
    done = check_command(*flags, f'--output={tmp_path / "new" / "out"}', '--pictures=1')
    assert done.returncode == 0 and done.stderr == '', done.stderr
    assert 'training can start' in done.stdout
    summary = json.loads((tmp_path / 'new/out/check.json').read_text())
    assert summary['groups']['labeled']['images'] == 3
    with Image.open(tmp_path / 'new/out/samples.png') as sheet:
        assert sheet.width == 3 * 320 + 4 * pictures.MARGIN
    assert sorted(p.name for p in (tmp_path / 'new/out').iterdir()) == ['check.json', 'samples.png']
    write_mask(root / 'masks/train/t4.png', [0, 3])
    done = check_command(*flags)
    assert done.returncode == 2 and 't4.png: values 3' in done.stdout and 'training would refuse' in done.stdout


@pytest.mark.parametrize('positional, overrides, output, words', [
    ([], {'data.dir': '/no/such/folder'}, None, 'no such folder'), ([], {}, '{file}', 'cannot be made'),
    (['stray'], {}, None, "unexpected argument 'stray'"), ([], {'data.crop': '(0, 3)'}, None, 'data.crop'),
    ([], {'data.name': 'imagenet'}, None, 'unknown dataset')])
def test_usage(root, tmp_path, monkeypatch, positional, overrides, output, words):
    from absl import flags

    from s4mim_jax.data.check import __main__
    (tmp_path / 'file').write_text('mine')
    values = SimpleNamespace(output=output and output.format(file=tmp_path / 'file'), pictures=3, decode=True)
    monkeypatch.setattr(flags, 'FLAGS', values)
    with pytest.raises(InputError, match=words):
        __main__.main(positional, f'{ROOT}/configs/folder.py', list({'data.dir': str(root), **overrides}.items()))
    assert (tmp_path / 'file').read_text() == 'mine'
