"""The walk over the files: what it finds wrong, what it says, what it remembers."""

import json
import os

import numpy as np
import pytest
from dataset_trees import data_config, write_folder, write_image, write_mask
from PIL import Image

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import check_samples, open_source


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / 'data')


def check(root, split='train', **settings):
    source = open_source(data_config('folder', root, **settings))
    return source, check_samples(source, source.splits[split])


def refused(root, message, **settings):
    with pytest.raises(InputError, match=message) as caught:
        check(root, **settings)
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


def test_rows(root):
    write_image(root / 'images/train/t1.png', (20, 10))
    (root / 'images/train/t1.jpg').unlink()
    write_mask(root / 'masks/train/t1.png', [2, 255], (20, 10))
    (root / 'masks/train/t2.png').unlink()
    source, table = check(root)
    rows = {s.id: table[s] for s in source.splits['train']}
    assert (rows['t0'].height, rows['t0'].width, rows['t0'].kind) == (12, 16, 'jpeg')
    assert rows['t0'].classes == (0, 1, 2) and rows['t0'].mask_kind == 'gray8'
    assert (rows['t1'].height, rows['t1'].width, rows['t1'].kind) == (20, 10, 'png8')
    assert rows['t1'].classes == (2,)
    assert rows['t2'].mask_kind == '' and rows['t2'].classes == () and len(table) == 6


def test_sizes_after_orientation(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    write_image(root / 'images/train/t0.jpg', (16, 12), exif=exif)  # stored lying, shown 12 x 16
    source, table = check(root)
    row = table[source.splits['train'][0]]
    assert (row.height, row.width, row.kind) == (12, 16, 'other')


def test_size_mismatch(root):
    write_mask(root / 'masks/train/t3.png', [0], (16, 12))
    refused(root, r't3.png: mask is 16x12, its image .*t3.jpg is 12x16 \(height x width\)')


def test_values_outside_the_classes(root):
    write_mask(root / 'masks/train/t1.png', [0, 3, 200])
    message = refused(root, 't1.png: mask values 3, 200 are outside the 3 classes\nvalid: 0..2 and 255')
    assert 'label_map' in message
    source, table = check(root, label_map='0:0,1:1,2:2')  # unnamed values are ignored
    assert table[source.splits['train'][1]].classes == (0,)


def test_many_bad_files_are_counted(root):
    for i in range(5):
        write_mask(root / f'masks/train/t{i}.png', [0, 9])
    message = refused(root, 't0.png: mask values 9')
    assert '5 masks hold values outside the classes; also' in message and 't2.png, ...' in message


@pytest.mark.parametrize('classes', [2, None])
def test_masks_of_0_and_255_get_the_hint(tmp_path, classes):
    root = write_folder(tmp_path, values=(0, 255), classes=classes)
    refused(root, r'all 9 masks of the dataset hold only the values 0, 255, and 255 means '
                  r'ignore.*\n.*label_map=0:0,255:1')
    source, table = check(root, label_map='0:0,255:1')
    assert source.num_classes == 2 and table[source.splits['train'][0]].classes == (0, 1)


def test_a_split_or_a_few_masks_of_0_and_255_are_fine(tmp_path, decoded):
    """Whether 255 is a class shows in all masks of the dataset, not in those that are asked for."""
    root = write_folder(tmp_path, values=(0, 1, 255), classes=2)
    for name in ('val/v0', 'val/v1', 'train/t0'):
        write_mask(root / f'masks/{name}.png', [0, 255])
    source, table = check(root, split='val')
    assert all(table[s].classes == (0,) for s in source.splits['val'])
    assert len(check_samples(source, source.splits['train'][:1])) == 1
    decoded.clear()
    check(root, split='val')  # what is known of the others is kept too
    assert decoded == []


def test_one_mask_of_0_and_255_among_others_is_fine(root):
    write_mask(root / 'masks/train/t1.png', [0, 255])
    _, table = check(root)
    assert len(table) == 6


def test_rgb_mask(root):
    write_image(root / 'masks/train/t4.png')
    refused(root, r"t4.png: mask is a colour image, and classes.txt gives class 'kind0' no colour"
            r'\nvalid: one channel')


@pytest.mark.parametrize('name', ['images/train/t2.jpg', 'masks/train/t2.png'])
def test_truncated_file(root, name):
    data = (root / name).read_bytes()
    (root / name).write_bytes(data[:len(data) * 3 // 5])
    refused(root, f'{name}: (truncated|damaged)')


def test_jpeg_without_its_end_mark(root):
    """What a broken download leaves: the header is whole, and so are most of the pixels."""
    write_image(root / 'images/train/t2.jpg', (64, 64))
    write_mask(root / 'masks/train/t2.png', [0, 1], (64, 64))
    data = (root / 'images/train/t2.jpg').read_bytes()
    (root / 'images/train/t2.jpg').write_bytes(data[:-200])
    refused(root, 'images/train/t2.jpg: truncated JPEG')


def test_empty_and_missing_file(root):
    (root / 'images/train/t2.jpg').write_bytes(b'')
    refused(root, r't2.jpg: not an image that can be read \(0 bytes\)')
    source = open_source(data_config('folder', root))
    (root / 'images/train/t2.jpg').unlink()
    with pytest.raises(InputError, match='t2.jpg: cannot be read'):
        check_samples(source, source.splits['train'])


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that are really looked at."""
    from s4mim_jax.data.files import scan
    names = []

    def spy(read):
        def reading(data, name, how):
            names.append(os.path.basename(name))
            return read(data, name, how)
        return reading
    readers = {kind: (spy(read), info) for kind, (read, info) in scan._READERS.items()}
    monkeypatch.setattr(scan, '_READERS', readers)
    return names


def test_cache_is_paid_for_once(root, decoded):
    _, first = check(root)
    assert len(decoded) == 12
    decoded.clear()
    _, second = check(root)
    assert decoded == [] and second == first
    check(root, split='val')  # adds to what is known
    assert len(decoded) == 4
    decoded.clear()
    check(root)
    assert decoded == []


def test_cache_notices_changes(root, decoded):
    check(root)
    decoded.clear()
    write_mask(root / 'masks/train/t1.png', [1])  # another size in bytes or another time
    os.utime(root / 'masks/train/t1.png', ns=(0, 12345))
    os.utime(root / 'images/train/t3.jpg', ns=(0, 12345))
    source, table = check(root)
    assert sorted(decoded) == ['t1.png', 't3.jpg'] and table[source.splits['train'][1]].classes == (1,)


def test_verdicts_are_not_cached(root, decoded):
    write_mask(root / 'masks/train/t1.png', [0, 7])
    refused(root, 'mask values 7')
    refused(root, 'mask values 7')
    decoded.clear()
    _, table = check(root, label_map='0:0,7:1')
    assert decoded == [] and len(table) == 6


def test_bad_files_are_looked_at_again(root, decoded):
    good = (root / 'images/train/t2.jpg').read_bytes()
    (root / 'images/train/t2.jpg').write_bytes(good[:100])
    refused(root, 't2.jpg')
    decoded.clear()
    refused(root, 't2.jpg')
    assert decoded == ['t2.jpg']


@pytest.mark.parametrize('content', ['{"format": 1, "files": {"ima', '[]', '{"format": 0, "files": {}}',
                                     '{"format": 1, "files": {"image:images/train/t0.jpg": [1]}}'])
def test_damaged_cache_is_ignored_and_mended(root, decoded, content):
    check(root)
    cache = root / '.s4mim_cache/files.json'
    cache.write_text(content)
    decoded.clear()
    check(root)
    assert len(decoded) == 12 and len(json.loads(cache.read_text())['files']) == 12


def test_moved_dataset_keeps_its_cache(root, decoded):
    check(root)
    decoded.clear()
    moved = root.rename(root.parent / 'moved')
    check(moved)
    assert decoded == []


def test_no_cache_when_asked(root, decoded):
    check(root, cache=False)
    check(root, cache=False)
    assert len(decoded) == 24 and not (root / '.s4mim_cache').exists()


def test_read_only_dataset_is_cached_at_home(root, decoded, monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    root.chmod(0o555)
    try:
        check(root)
        decoded.clear()
        check(root)
    finally:
        root.chmod(0o755)
    assert decoded == [] and not (root / '.s4mim_cache').exists()
    assert len(list((tmp_path / 'home/.cache/s4mim_jax').glob('*/files.json'))) == 1


def test_progress_says_rate_and_rest(capsys, monkeypatch):
    from s4mim_jax.data import progress
    clock = iter(np.arange(0.0, 100.0, 2.0))
    monkeypatch.setattr(progress.time, 'monotonic', lambda: float(next(clock)))
    counter = progress.Progress('checking files', 10)
    for _ in range(4):
        counter.count()
    assert capsys.readouterr().err == 'checking files: 3/10, 0.5/s, 14 s left\n'


def test_a_rotated_tiff_has_its_decoded_size():
    from io import BytesIO

    from s4mim_jax.data.files.image_info import image_info
    from s4mim_jax.data.files.images import decode_image
    image, file = Image.fromarray(np.zeros((20, 30, 3), np.uint8)), BytesIO()
    tags = Image.Exif()
    tags[0x0112] = 6  # turned by a quarter
    image.save(file, 'TIFF', exif=tags)
    info = image_info(file.getvalue(), 'turned.tif')
    assert (info.height, info.width) == decode_image(file.getvalue(), 'turned.tif').shape[:2] == (30, 20)
