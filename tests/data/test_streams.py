"""The training streams: order, resume, shards, partners, and the pixels that come out."""

import importlib
import io
import itertools
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from pipeline_world import World, config, encoded, flat, photograph

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import streams, tensorflow_setup, training_batches

UPRIGHT = dict(scale=(1.0, 1.0), flip=False)


def batches(world, c, count, **options):
    stream = training_batches(world.source, world.split, c, tables=world.table, **options)
    return list(itertools.islice(stream, count))


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, dict):
            assert_same(value, second[name])
        else:
            assert value.dtype == second[name].dtype
            np.testing.assert_array_equal(value, second[name])


def flats(count, **options):
    """Images that are gray level 10 + n all over; crops are of their size."""
    return World([encoded(flat(10 + n)) for n in range(count)], **options)


def shown(values):
    """Number of the sample that each crop of `flats` shows, [...]."""
    return values['image'][..., 0, 0, 0].astype(int) - 10


def mixed(masks=True):
    """Images of all three kinds, with and without EXIF orientation and mask, of several sizes."""
    images, labels = [], []
    for n, (form, orientation, size) in enumerate([
            ('JPEG', 1, (40, 52)), ('PNG', 1, (31, 33)), ('JPEG', 6, (40, 52)), ('TIFF', 1, (20, 70)),
            ('JPEG', 8, (33, 21))]):
        pixels = photograph(size, seed=n)
        images.append(encoded(pixels, form, orientation))
        labels.append(encoded(pixels[..., 0] // 64) if masks and n != 3 else None)
    return World(images, labels)


@pytest.mark.parametrize('count', [1, 2, 5])
def test_every_epoch_is_a_permutation(count):
    world = flats(count)
    order = np.concatenate([shown(b['unlabeled'])[:, 0] for b in batches(
        world, config(unlabeled=2, **UPRIGHT), 5 * count)]).reshape(10, count)
    assert (np.sort(order, axis=1) == np.arange(count)).all()
    assert count == 1 or len({tuple(epoch) for epoch in order}) > 1


def test_streams_and_seeds_differ():
    world = mixed(masks=False)
    c = config(labeled=8, unlabeled=8)
    first, = batches(world, c, 1)
    assert (first['labeled']['image'] != first['unlabeled']['image'][:, 0]).any(axis=(1, 2, 3)).all()
    c.seed = 1
    other, = batches(world, c, 1)
    assert (first['labeled']['image'] != other['labeled']['image']).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize('keep', [0, 2 ** 20])
def test_resume_is_bit_identical(keep):
    world, c = mixed(), config(partner='independent')
    whole = batches(world, c, 5, keep_decoded=keep)
    rest = batches(world, c, 2, start_step=3, keep_decoded=keep)
    for first, second in zip(whole[3:], rest):
        assert_same(first, second)


def test_far_positions_are_reached_at_once_and_their_index_never_turns_negative():
    world, c = flats(3), config(labeled=4, unlabeled=8)
    late, = batches(world, c, 1, start_step=2 ** 28 - 1)
    assert late['labeled']['index'].tolist() == list(range(2 ** 30 - 4, 2 ** 30))
    assert late['unlabeled']['index'].tolist() == list(range(2 ** 31 - 8, 2 ** 31))
    wrapped, = batches(world, c, 1, start_step=2 ** 28)
    assert wrapped['unlabeled']['index'].tolist() == list(range(8))
    assert wrapped['unlabeled']['index'].dtype == np.int32


def test_processes_share_the_batches_of_one():
    world, c = mixed(), config(labeled=4, unlabeled=8, partner='self_view')
    whole = batches(world, c, 3, start_step=1)
    parts = [batches(world, c, 3, start_step=1, process_index=p, process_count=4) for p in range(4)]
    for step, batch in enumerate(whole):
        for kind, values in batch.items():
            assert_same(values, {name: np.concatenate([part[step][kind][name] for part in parts])
                                 for name in values})


def test_a_process_reads_only_its_own_files():
    world = flats(64)
    read = []
    original = dict(world.files)
    object.__setattr__(world.source, 'read_bytes', lambda path: read.append(path) or original[path])
    c = config(labeled=32, unlabeled=32, **UPRIGHT)
    stream = training_batches(world.source, world.split, c, tables=world.table, process_index=1,
                              process_count=16, with_unlabeled=False, threads=1)
    needed = {f'i{n}' for b in itertools.islice(stream, 8) for n in shown(b['labeled'])}
    stream.close()
    assert needed <= set(read)
    assert len(read) < 64  # two rows a step: those yielded and some read ahead, not 32


@pytest.mark.parametrize('count', [1, 2, 5])
def test_independent_partner_is_another_image(count):
    pairs = np.concatenate([shown(b['unlabeled']) for b in batches(
        flats(count), config(partner='independent', **UPRIGHT), 40)])
    own, partner = pairs.T
    if count == 1:
        assert (own == partner).all()
    else:
        assert (own != partner).all()
        assert len(set(zip(own, partner))) == count * (count - 1)


def test_self_view_is_another_crop_of_the_same_image():
    same = np.concatenate([shown(b['unlabeled']) for b in batches(
        flats(5), config(partner='self_view', **UPRIGHT), 10)])
    assert (same[:, 0] == same[:, 1]).all()
    batch, = batches(mixed(), config(partner='self_view', unlabeled=8), 1)
    image = batch['unlabeled']['image']
    assert (image[:, 0] != image[:, 1]).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize('keep', [0, 2 ** 20])
def test_switches_change_what_they_should_and_nothing_else(keep):
    world = mixed()
    alone, = batches(world, config(partner='batch'), 1, keep_decoded=keep)
    assert alone['unlabeled']['image'].shape[1] == 1
    for partner in ('self_view', 'independent'):
        paired, = batches(world, config(partner=partner), 1, keep_decoded=keep)
        assert_same(paired['labeled'], alone['labeled'])
        assert paired['unlabeled']['image'].shape[1] == 2
        assert_same({name: value[:, :1] if value.ndim > 1 else value
                     for name, value in paired['unlabeled'].items()}, alone['unlabeled'])
    supervised, = batches(world, config(), 1, with_unlabeled=False, keep_decoded=keep)
    assert_same(supervised, {'labeled': alone['labeled']})
    blind, = batches(world, config(), 1, with_hidden_labels=False, keep_decoded=keep)
    assert_same(blind['unlabeled'] | {'label': alone['unlabeled']['label']}, alone['unlabeled'])
    assert_same(blind['labeled'], alone['labeled'])


@pytest.mark.parametrize('data', [{}, dict(resize=(24, 30)), dict(scale=(0.1, 0.4))])
def test_windows_give_the_bytes_of_kept_images(data):
    world, c = mixed(), config(crop=(17, 22), partner='self_view', **data)
    for window, kept in zip(batches(world, c, 6, keep_decoded=0), batches(world, c, 6)):
        assert_same(window, kept)


@pytest.mark.parametrize('keep', [0, 2 ** 20])
def test_image_label_and_validity_lie_on_each_other(keep):
    """Masks were made from the images' red: turned, flipped, scaled, padded, they still fit."""
    world, c = mixed(), config(crop=(44, 44), labeled=8, **dict(scale=(0.7, 1.5)))
    seen = []
    for batch in batches(world, c, 6, keep_decoded=keep):
        image, label = batch['labeled']['image'].astype(int), batch['labeled']['label']
        inside = label != 255
        assert (image[~inside] == 0).all()
        # JPEG and interpolation move colours a little; a wrong turn or flip moves them by far more.
        fit = abs(image[..., 0] - (label * 64.0 + 31.5)) < 31.5 + 20
        assert fit[inside].mean() > 0.97
        unlabeled = batch['unlabeled']
        marked = unlabeled['label'] != 255
        known = marked.any(axis=(1, 2, 3))
        np.testing.assert_array_equal(marked[known], unlabeled['valid'][known])
        assert (unlabeled['image'][~unlabeled['valid']] == 0).all()
        seen += [inside.all(), not known.all()]
    assert any(seen[1::2])  # an unlabelled image without a mask: 255 all over


def test_image_smaller_than_the_crop_is_padded_at_the_bottom_and_right():
    world = World([encoded(flat(77, (10, 12)))], [encoded(np.ones((10, 12), np.uint8))])
    for flip, columns in ((False, slice(0, 12)), (True, slice(4, 16))):
        c = config(crop=(14, 16), labeled=16, unlabeled=16, scale=(1.0, 1.0), flip=flip)
        batch, = batches(world, c, 1)
        expected = np.zeros((14, 16), bool)
        expected[:10, columns] = True
        unlabeled = batch['unlabeled']
        chosen = [v[0] for v in unlabeled['valid'] if not flip or not v[0, 0, 0]]
        assert chosen and (not flip or len(chosen) < 16)  # about half are flipped, padding included
        assert all((valid == expected).all() for valid in chosen)
        np.testing.assert_array_equal(unlabeled['image'], unlabeled['valid'][..., None] * np.uint8([77] * 3))
        np.testing.assert_array_equal(unlabeled['label'], np.where(unlabeled['valid'], 1, 255))


def test_masks_are_mapped_by_the_lookup():
    lookup = np.full(256, 255, np.uint8)
    lookup[[0, 200]] = 0, 2
    mask = np.full((10, 12), 200, np.uint8)
    mask[:5], mask[5] = 0, 7
    world = World([encoded(flat(1))], [encoded(mask)], lookup)
    for keep in (0, 2 ** 20):
        batch, = batches(world, config(crop=(10, 12), labeled=1, **UPRIGHT), 1, keep_decoded=keep)
        assert batch['labeled']['label'][0, :, 0].tolist() == [0] * 5 + [255] + [2] * 4


def test_formats_and_shapes_of_a_batch():
    batch, = batches(mixed(), config(crop=(6, 9), labeled=2, unlabeled=3, partner='self_view'), 1)
    described = {kind: {name: (value.dtype.name, value.shape) for name, value in values.items()}
                 for kind, values in batch.items()}
    assert described == {
        'labeled': {'image': ('uint8', (2, 6, 9, 3)), 'label': ('uint8', (2, 6, 9)),
                    'index': ('int32', (2,))},
        'unlabeled': {'image': ('uint8', (3, 2, 6, 9, 3)), 'valid': ('bool', (3, 2, 6, 9)),
                      'index': ('int32', (3,)), 'label': ('uint8', (3, 2, 6, 9))}}


@pytest.mark.parametrize('keep', [0, 2 ** 20])
def test_a_file_that_breaks_after_the_check_is_named(keep):
    world = World([encoded(photograph((64, 64)), 'TIFF')] * 2)
    world.files['i1'] = b'gone'
    with pytest.raises(InputError, match='i1'):
        batches(world, config(), 8, keep_decoded=keep)


def test_a_jpeg_that_breaks_after_the_check_ends_without_a_traceback_of_tensorflow():
    world = World([encoded(photograph((64, 64)), 'JPEG')] * 2)
    world.files['i0'] = world.files['i1'] = b'\xff\xd8\xff' + bytes(50)
    with pytest.raises(InputError, match='changed after the check'):
        batches(world, config(), 1, keep_decoded=0)


def test_a_batch_that_processes_cannot_share_is_refused():
    with pytest.raises(InputError, match=r'config.batch.labeled=3 .*2 processes'):
        batches(flats(2), config(labeled=3), 1, process_count=2)


def test_tensorflow_is_told_to_use_no_accelerator(monkeypatch):
    hidden = []
    monkeypatch.setattr(tensorflow_setup.tf.config, 'set_visible_devices', lambda *a: hidden.append(a))
    importlib.reload(tensorflow_setup)
    assert hidden == [([], 'GPU'), ([], 'TPU')]
    assert {d.device_type for d in tensorflow_setup.tf.config.get_visible_devices()} == {'CPU'}


def test_data_is_imported_without_tensorflow():
    code = ('import sys, s4mim_jax.data as data; data.evaluation_batches; '
            'sys.exit("tensorflow" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def test_gray_and_transparent_images_decode_alike_in_both_ways():
    """TensorFlow's decoders and Pillow's: the kinds of the table must send each file to one that fits."""
    def file(mode, form):
        buffer = io.BytesIO()
        Image.fromarray(photograph((30, 40))).convert(mode).save(buffer, form)
        return buffer.getvalue()

    images = [file(mode, form) for mode, form in (
        ('L', 'JPEG'), ('CMYK', 'JPEG'), ('L', 'PNG'), ('LA', 'PNG'), ('RGBA', 'PNG'), ('P', 'PNG'),
        ('1', 'PNG'), ('RGB', 'BMP'))]
    world, c = World(images), config(crop=(12, 12), unlabeled=8)
    for window, kept in zip(batches(world, c, 2, keep_decoded=0), batches(world, c, 2)):
        assert_same(window, kept)


def test_nothing_sleeps_in_a_stream_that_is_closed(monkeypatch):
    """TensorFlow's thread that tunes a pipeline sleeps for up to a minute, and whoever closes it waits."""
    made = []
    iterate = streams._iterate
    monkeypatch.setattr(streams, '_iterate', lambda dataset, readers: made.append(dataset) or iterate(dataset, readers))
    batches(flats(3), config(), 2)
    assert made[0].options().autotune.enabled is False
