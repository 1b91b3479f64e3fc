"""Images of other channels and depths, against arrays written to files by the test."""

import io

import numpy as np
import pipeline_world
import pytest
import tifffile
from dataset_trees import data_config, write_mask
from PIL import Image

from s4mim_jax import data
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.data.files import tiff
from s4mim_jax.data.files.image_info import ImageInfo, image_info
from s4mim_jax.data.files.images import decode_image
from s4mim_jax.data.files.pixel_format import PixelFormat, pixel_format
from s4mim_jax.data.streams import training_batches

DRAW = np.random.default_rng(0)
DEEP = DRAW.integers(0, 4096, (37, 53, 5), dtype=np.uint16)
TWELVE = PixelFormat(5, (0, 4095))


def scaled(values, low, high):
    """255 (v - low) / (high - low), clipped, rounded half up, by hand."""
    return np.floor(np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)


def written(values, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, values, **options)
    return file.getvalue()


def png(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, 'PNG')
    return file.getvalue()


LAYOUTS = {
    'strips': {'photometric': 'minisblack', 'planarconfig': 'contig', 'rowsperstrip': 8},
    'tiles': {'photometric': 'minisblack', 'planarconfig': 'contig', 'tile': (16, 32)},
    'deflated tiles': {'photometric': 'minisblack', 'planarconfig': 'contig', 'tile': (16, 16), 'compression': 'zlib'},
    'planes': {'photometric': 'minisblack', 'planarconfig': 'separate', 'rowsperstrip': 10},
    'planes of tiles': {'photometric': 'minisblack', 'planarconfig': 'separate', 'tile': (32, 16)},
    'big-endian BigTIFF': {'photometric': 'minisblack', 'planarconfig': 'contig', 'byteorder': '>', 'bigtiff': True},
}


@pytest.mark.parametrize('kind', LAYOUTS)
def test_tiff_whole_and_in_windows(kind):
    planes = LAYOUTS[kind]['planarconfig'] == 'separate'
    encoded = written(np.moveaxis(DEEP, 2, 0) if planes else DEEP, **LAYOUTS[kind])
    np.testing.assert_array_equal(decode_image(encoded, 'x', TWELVE), scaled(DEEP, 0, 4095))
    assert image_info(encoded, 'x', TWELVE) == ImageInfo(37, 53, 'tiff')
    for top, left, height, width in ((0, 0, 37, 53), (5, 17, 20, 9), (36, 52, 1, 1), (15, 31, 2, 2)):
        np.testing.assert_array_equal(tiff.read(encoded, 'x', (top, left, height, width)),
                                      DEEP[top:top + height, left:left + width])


def test_bands_as_pages_and_orientation():
    pages = written(np.moveaxis(DEEP, 2, 0), photometric='minisblack')
    np.testing.assert_array_equal(decode_image(pages, 'x', TWELVE), scaled(DEEP, 0, 4095))
    assert image_info(pages, 'x', TWELVE).kind == 'other'
    for orientation, turn in ((3, lambda a: np.rot90(a, 2)), (6, lambda a: np.rot90(a, -1)), (8, np.rot90),
                              (2, lambda a: a[:, ::-1]), (5, lambda a: a.swapaxes(0, 1))):
        data_ = written(DEEP, photometric='minisblack', planarconfig='contig',
                        extratags=[(274, 'H', 1, orientation, True)])
        np.testing.assert_array_equal(decode_image(data_, 'x', TWELVE), scaled(turn(DEEP), 0, 4095))


def test_values_are_mapped_over_the_range_and_clipped():
    values = np.array([[-2000, -1000, 0, 23, 1000, 3000]], np.int16)
    encoded = written(values, photometric='minisblack')
    np.testing.assert_array_equal(decode_image(encoded, 'x', PixelFormat(1, (-1000, 1000)))[..., 0],
                                  [[0, 0, 128, 130, 255, 255]])
    real = written(np.array([[np.nan, 0.25, 1.0]], np.float32), photometric='minisblack')
    np.testing.assert_array_equal(decode_image(real, 'x', PixelFormat(1, (0, 0.5)))[..., 0], [[0, 128, 255]])
    deep = png(DEEP[..., 0])  # and a 16-bit PNG, as three channels
    np.testing.assert_array_equal(decode_image(deep, 'x', PixelFormat(3, (0, 4095))),
                                  np.repeat(scaled(DEEP[..., :1], 0, 4095), 3, 2))


def test_alpha_is_dropped_and_channels_of_ordinary_files():
    rgba = DRAW.integers(0, 256, (6, 7, 4), np.uint8)
    np.testing.assert_array_equal(decode_image(png(rgba), 'x', PixelFormat(4)), rgba)
    np.testing.assert_array_equal(decode_image(png(rgba), 'x', PixelFormat(3, (0, 255))), rgba[..., :3])
    np.testing.assert_array_equal(decode_image(png(rgba[..., 0]), 'x', PixelFormat(1)), rgba[..., :1])
    four = written(rgba, photometric='rgb', extrasamples=['unassalpha'])
    np.testing.assert_array_equal(decode_image(four, 'x', PixelFormat(3, (0, 255))), rgba[..., :3])
    np.testing.assert_array_equal(decode_image(four, 'x', PixelFormat(4)), rgba)


@pytest.mark.parametrize('encoded, form, message', [
    (written(DEEP, photometric='minisblack', planarconfig='contig'), PixelFormat(5),
     r'f.tif: values of type uint16 \(\d+ .. 409\d\).*\nset --config.data.value_range="\(LOW, HIGH\)"'),
    (written(DEEP, photometric='minisblack', planarconfig='contig'), PixelFormat(4, (0, 4095)),
     r'f.tif: 5 channel\(s\), but --config.data.channels=4'),
    (written(DEEP, photometric='minisblack', planarconfig='contig'), PixelFormat(),
     r'f.tif: a TIFF of 5 channel\(s\) of type uint16.*\nset --config.data.channels=5'),
    (png(np.zeros((4, 4, 3), np.uint8)), PixelFormat(1), r'f.tif: 3 channel\(s\), but --config.data.channels=1'),
    (written(DEEP, photometric='minisblack', planarconfig='contig')[:2000], TWELVE, 'f.tif: (damaged|not an image)'),
    (written(np.zeros((2, 3, 4, 5, 3), np.uint8)), PixelFormat(3, (0, 255)), 'f.tif: TIFF with axes'),
])
def test_what_does_not_fit_is_named(encoded, form, message):
    with pytest.raises(InputError, match=message):
        decode_image(encoded, 'f.tif', form)


def test_a_codec_that_is_not_there_is_named_or_left_to_pillow():
    gray = DEEP[..., 0]
    file = io.BytesIO()
    Image.fromarray(gray).save(file, 'TIFF', compression='tiff_lzw')
    np.testing.assert_array_equal(decode_image(file.getvalue(), 'x', PixelFormat(1, (0, 4095)))[..., 0],
                                  scaled(gray, 0, 4095))
    lzw = bytearray(written(DEEP, photometric='minisblack', planarconfig='contig', compression='zlib'))
    at = lzw.index(b'\x03\x01\x03\x00\x01\x00\x00\x00\x08\x00')  # tag 259, Compression = 8: deflate
    lzw[at + 8] = 5  # LZW
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match='x.tif: .*imagecodecs.*\npip install imagecodecs'):
            decode_image(bytes(lzw), 'x.tif', TWELVE)


@pytest.mark.parametrize('key, value, message', [
    ('channels', 0, 'data.channels=0: must be at least 1'),
    ('value_range', (5, 5), r'data.value_range=\(5, 5\): must be \(low, high\)'),
    ('value_range', (1, 2, 3), r'data.value_range=\(1, 2, 3\): must be'),
    ('mean', (0.5,), r'data.mean=\(0.5,\): a number for each of the 3 channel'),
    ('std', (0.5, 0.5, 0.0), r'data.std=.*: must be above 0'),
    ('mask_colors', 'maybe', 'data.mask_colors=maybe: valid: auto, always, never')])
def test_config_keys_are_checked(key, value, message):
    config = base()
    config.data[key] = value
    with pytest.raises(InputError, match=message):
        validate(config)


def band_folder(root, bands=4, suffix='tif', **options):
    rng = np.random.default_rng(1)
    for split, count in (('train', 4), ('val', 2)):
        for i in range(count):
            path = root / 'images' / split / f'{i}.{suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            values = rng.integers(0, 4096, (40, 48, bands), dtype=np.uint16)
            tifffile.imwrite(path, values, photometric='minisblack', planarconfig='contig', **options)
            write_mask(root / 'masks' / split / f'{i}.png', (0, 1, 255), (40, 48))
    return root


def batch_of(root, config, **options):
    """First batch of all of the folder's training images, their table and split."""
    source = data.open_source(config.data)
    split = data.training_split(source, 'all', 0)
    table = data.check_samples(source, split.unlabeled)
    return next(training_batches(source, split, config, tables=table, **options)), table, split


@pytest.mark.parametrize('bands', [2, 4, 5])
def test_crops_of_tiles_are_those_of_whole_images(tmp_path, bands):
    root = band_folder(tmp_path, bands, tile=(16, 16))
    config = pipeline_world.config(crop=(24, 16))
    config.data.update(name='folder', dir=str(root), channels=bands, value_range=(0, 4095))
    whole, table, split = batch_of(root, config)
    parts, _, _ = batch_of(root, config, keep_decoded=0)
    assert table[split.labeled[0]].kind == 'tiff'
    assert whole['labeled']['image'].shape == (4, 24, 16, bands)
    assert whole['unlabeled']['image'].shape == (4, 1, 24, 16, bands)
    for kind in whole:
        for name in whole[kind]:
            np.testing.assert_array_equal(whole[kind][name], parts[kind][name], err_msg=f'{kind}/{name}')
    source = data.open_source(config.data)
    config.eval.batch, config.eval.multiple = 2, 1
    samples = data.evaluation_split(source, 'val')
    seen = next(data.evaluation_batches(source, samples, config, table=data.check_samples(source, samples)))
    raw = tifffile.imread(samples[0].image)
    np.testing.assert_array_equal(seen['image'][0], scaled(raw, 0, 4095))


@pytest.mark.parametrize('channels', [1, 2, 4])
def test_crops_of_ordinary_files_of_other_channels(tmp_path, channels):
    """PNG and gray JPEG: through TensorFlow's decoders where those know the channels."""
    for i in range(4):
        pixels = pipeline_world.photograph((50, 60), i)
        pixels = np.concatenate([pixels, pixels[..., :1]], 2)[..., :channels]
        image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        path = tmp_path / 'images' / 'train' / f'{i}.{"jpg" if channels == 1 and i % 2 else "png"}'
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        write_mask(tmp_path / 'masks' / 'train' / f'{i}.png', (0, 1), (50, 60))
    config = pipeline_world.config(crop=(24, 16))
    config.data.update(name='folder', dir=str(tmp_path), channels=channels)
    whole, table, split = batch_of(tmp_path, config)
    parts, _, _ = batch_of(tmp_path, config, keep_decoded=0)
    assert {table[s].kind for s in split.labeled} == {1: {'png8', 'jpeg'}, 2: {'other'}, 4: {'png8'}}[channels]
    np.testing.assert_array_equal(whole['labeled']['image'], parts['labeled']['image'])


def test_a_plain_crop_of_a_tiled_rgb_tiff_is_that_of_the_whole(tmp_path):
    for i in range(4):
        path = tmp_path / 'images' / 'train' / f'{i}.tif'
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, pipeline_world.photograph((50, 60), i), photometric='rgb', tile=(16, 16),
                         compression='zlib')
        write_mask(tmp_path / 'masks' / 'train' / f'{i}.png', (0, 1), (50, 60))
    config = pipeline_world.config(crop=(24, 16))
    config.data.update(name='folder', dir=str(tmp_path))
    whole, table, split = batch_of(tmp_path, config)
    parts, _, _ = batch_of(tmp_path, config, keep_decoded=0)
    assert table[split.labeled[0]].kind == 'tiff'
    np.testing.assert_array_equal(whole['labeled']['image'], parts['labeled']['image'])


def test_band_by_band_resampling_is_that_of_rgb():
    from s4mim_jax.data import geometry
    photo = pipeline_world.photograph((60, 80), 3)
    placement = geometry.place([123456789, 2**31, 2**30, 2**31], (60, 80), (24, 32), scale=(0.5, 1.5))
    three, four = np.zeros((24, 32, 3), np.uint8), np.zeros((24, 32, 4), np.uint8)
    geometry.crop_image(photo, (0, 0), placement, three)
    geometry.crop_image(np.concatenate([photo, photo[..., :1]], 2), (0, 0), placement, four)
    np.testing.assert_array_equal(four[..., :3], three)
    np.testing.assert_array_equal(four[..., 3], three[..., 0])
    np.testing.assert_array_equal(geometry.resize_image(photo[..., :1], (31, 17))[..., 0],
                                  geometry.resize_image(photo, (31, 17))[..., 0])


def test_the_cache_of_the_walk_knows_the_format(tmp_path):
    root = band_folder(tmp_path)
    settings = dict(channels=4, value_range=(0, 4095))
    source = data.open_source(data_config('folder', root, **settings))
    data.check_samples(source, source.splits['train'])
    assert pixel_format(data_config('folder', root, **settings)) == source.pixels
    for other, message in (({'channels': 4}, 'value_range'),
                           ({'channels': 2, 'value_range': (0, 9)}, 'data.channels=2')):
        source = data.open_source(data_config('folder', root, **other))
        with pytest.raises(InputError, match=message):
            data.check_samples(source, source.splits['train'])
