"""Decoding of every format, depth and orientation, against arrays written by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.image_info import image_info
from s4mim_jax.data.files.images import decode_image
from s4mim_jax.data.files.mask_file import decode_mask
from s4mim_jax.data.files.mask_info import mask_info

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
GRAY = RGB[:, :, 0]


def encode(image, kind, **options):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def smooth_photo(height=24, width=32):
    ramp = np.linspace(0, 255, height)[:, None] * 0.5 + np.linspace(0, 255, width)[None] * 0.5
    return np.stack([ramp, 255 - ramp, ramp / 2], -1).astype(np.uint8)


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'BMP'])
def test_rgb_is_exact(kind):
    np.testing.assert_array_equal(decode_image(encode(RGB, kind), 'x'), RGB)


@pytest.mark.parametrize('kind', ['PNG', 'TIFF', 'BMP'])
def test_gray_is_repeated(kind):
    np.testing.assert_array_equal(decode_image(encode(GRAY, kind), 'x'), np.stack([GRAY] * 3, -1))


def test_jpeg_is_close_to_what_was_written():
    photo = smooth_photo()
    decoded = decode_image(encode(photo, 'JPEG', quality=95), 'x')
    assert decoded.shape == photo.shape and abs(decoded.astype(int) - photo).max() <= 12


@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_sixteen_bits_scale_from_full_range(kind):
    deep = np.array([[0, 128, 257, 32896, 65535]], np.uint16)
    decoded = decode_image(encode(deep, kind), 'x')
    np.testing.assert_array_equal(decoded[0, :, 0], [0, 0, 1, 128, 255])
    assert decoded.shape == (1, 5, 3)


def test_floating_point_tiff_is_zero_to_one():
    values = np.array([[0, 0.5, 1]], np.float32)
    np.testing.assert_array_equal(decode_image(encode(values, 'TIFF'), 'x')[0, :, 1], [0, 128, 255])
    with pytest.raises(InputError, match='deep.tif: values from 0 to 3000.*\n.*0..65535'):
        decode_image(encode(values * 3000, 'TIFF'), 'deep.tif')


def test_transparency_is_dropped():
    rgba = np.concatenate([RGB, GRAY[:, :, None]], -1)
    np.testing.assert_array_equal(decode_image(encode(rgba, 'PNG'), 'x'), RGB)
    gray_alpha = Image.fromarray(GRAY).convert('LA')
    np.testing.assert_array_equal(decode_image(encode(gray_alpha, 'PNG'), 'x')[:, :, 2], GRAY)


def test_palette_image_gives_its_colours():
    indexed = Image.fromarray(GRAY % 3).convert('P')
    indexed.putdata((GRAY % 3).ravel().tolist())
    indexed.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    expected = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint8)[GRAY % 3]
    np.testing.assert_array_equal(decode_image(encode(indexed, 'PNG'), 'x'), expected)
    np.testing.assert_array_equal(decode_mask(encode(indexed, 'PNG'), 'x'), GRAY % 3)


@pytest.mark.parametrize('value, turn', [
    (1, lambda a: a), (2, lambda a: a[:, ::-1]), (3, lambda a: np.rot90(a, 2)), (4, lambda a: a[::-1]),
    (5, lambda a: a.swapaxes(0, 1)), (6, lambda a: np.rot90(a, -1)),
    (7, lambda a: np.rot90(a, 2).swapaxes(0, 1)), (8, lambda a: np.rot90(a, 1))])
def test_exif_orientation(value, turn):
    exif = Image.Exif()
    exif[0x0112] = value
    photo = smooth_photo()
    data = encode(photo, 'JPEG', quality=95, exif=exif)
    decoded, expected = decode_image(data, 'x'), turn(photo)
    assert decoded.shape == expected.shape and abs(decoded.astype(int) - expected).max() <= 12
    info = image_info(data, 'x')
    assert (info.height, info.width) == expected.shape[:2]
    assert info.kind == ('jpeg' if value == 1 else 'other')


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_masks_of_few_bits_keep_their_ids(bits):
    ids = np.arange(8, dtype=np.uint8).reshape(2, 4) % 2**bits
    if bits == 1:
        data = encode(Image.fromarray(ids.astype(bool)), 'PNG')
    else:
        data = _gray_png(ids, bits)
    np.testing.assert_array_equal(decode_mask(data, 'x'), ids)


def _gray_png(ids, bits):
    """A grayscale PNG of 2 or 4 bits, which Pillow reads but does not write."""
    import struct
    import zlib
    rows = b''
    for row in ids:
        number = int(''.join(f'{int(v):0{bits}b}' for v in row), 2)
        rows += b'\0' + number.to_bytes(len(row) * bits // 8, 'big')
    def chunk(name, body):
        return struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))
    header = struct.pack('>IIBBBBB', ids.shape[1], ids.shape[0], bits, 0, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows))
            + chunk(b'IEND', b''))


def test_sixteen_bit_mask():
    ids = np.array([[0, 3, 255]], np.uint16)
    np.testing.assert_array_equal(decode_mask(encode(ids, 'PNG'), 'x'), ids)
    with pytest.raises(InputError, match='m.png: 16-bit mask with values up to 256'):
        decode_mask(encode(np.array([[0, 256]], np.uint16), 'PNG'), 'm.png')


@pytest.mark.parametrize('mask', [RGB, np.concatenate([RGB, np.full_like(RGB[:, :, :1], 255)], -1)])
def test_colour_mask_is_refused(mask):
    with pytest.raises(InputError, match='m.png: mask is a colour image.*\n.*8-bit grayscale or palette'):
        decode_mask(encode(mask, 'PNG'), 'm.png')


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'TIFF', 'BMP'])
def test_truncated_file_is_named(kind):
    data = encode(smooth_photo(), kind)
    for keep in (0.8, 0.5):
        with pytest.raises(InputError, match='cut.file: (truncated|damaged)'):
            decode_image(data[:int(len(data) * keep)], 'cut.file')
    if kind in ('JPEG', 'PNG'):
        with pytest.raises(InputError, match='cut.file: truncated'):
            image_info(data[:int(len(data) * 0.8)], 'cut.file')


def test_what_is_no_image_is_named():
    with pytest.raises(InputError, match='notes.jpg: not an image.*\nvalid: JPEG, PNG, TIFF, BMP'):
        decode_image(b'hello', 'notes.jpg')


def test_bytes_behind_the_end_are_harmless():
    data = encode(smooth_photo(), 'JPEG') + b'\0' * 9
    assert image_info(data, 'x').kind == 'other'  # left to Pillow, and whole


@pytest.mark.parametrize('array, options, kind', [
    (RGB, {}, 'png8'), (GRAY, {}, 'png8'), (GRAY.astype(np.uint16) * 257, {}, 'other'),
    (RGB, {'transparency': (1, 2, 3)}, 'other'), (GRAY > 99, {}, 'other')])
def test_kind_of_png(array, options, kind):
    assert image_info(encode(array, 'PNG', **options), 'x').kind == kind


def test_kind_says_which_decoder_is_right():
    """The fast decoders give what `decode_image` gives for all that is not called 'other'."""
    from s4mim_jax.data.tensorflow_setup import tf
    rgba = np.concatenate([RGB, GRAY[:, :, None]], -1)
    for array in (RGB, GRAY, rgba, np.stack([GRAY, 255 - GRAY], -1)):
        data = encode(Image.fromarray(array, 'LA') if array.shape[2:] == (2,) else array, 'PNG')
        assert image_info(data, 'x').kind == 'png8'
        np.testing.assert_array_equal(tf.io.decode_png(data, channels=3).numpy(), decode_image(data, 'x'))
    data = encode(GRAY, 'PNG')
    assert mask_info(data, 'x').kind == 'gray8'
    np.testing.assert_array_equal(tf.io.decode_png(data, channels=1).numpy()[:, :, 0],
                                  decode_mask(data, 'x'))
    for progressive in (False, True):
        for array in (smooth_photo(), smooth_photo()[:, :, 0]):
            data = encode(array, 'JPEG', progressive=progressive, quality=95)
            assert image_info(data, 'x').kind == 'jpeg'
            fast = tf.io.decode_jpeg(data, channels=3).numpy()
            assert abs(fast.astype(int) - decode_image(data, 'x')).max() <= 4


def test_mask_facts():
    info = mask_info(encode(np.array([[3, 0, 255], [3, 3, 0]], np.uint8), 'PNG'), 'x')
    assert (info.height, info.width, info.values) == (2, 3, (0, 3, 255))
