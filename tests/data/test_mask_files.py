"""What single mask files hold: numbers as stored, whatever the container; and what is refused, in exact words."""

import numpy as np
import pytest
import tifffile
from mask_files import RED, TABLE, encoded, palette_mask, squares, tiff, tiff_of_few_bits
from PIL import Image

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.images import decode_image
from s4mim_jax.data.files.mask_file import decode_mask, read_mask
from s4mim_jax.data.files.mask_info import mask_info
from s4mim_jax.data.files.pixel_format import PixelFormat

IDS = squares(3)


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_tiff_of_few_bits_keeps_its_ids(bits):
    ids = IDS % 2 ** bits
    np.testing.assert_array_equal(decode_mask(tiff_of_few_bits(ids, bits), 'x'), ids)
    assert mask_info(tiff_of_few_bits(ids, bits), 'x').bits == bits
    inverse = tiff_of_few_bits(2 ** bits - 1 - ids, bits, white_is_zero=True)
    np.testing.assert_array_equal(decode_mask(inverse, 'x'), ids)


@pytest.mark.parametrize('data', [
    tiff(IDS.astype(np.float32)), tiff(IDS.astype(np.float64)), tiff(IDS.astype(np.int16)), tiff(IDS.astype(np.uint32)),
    tiff(IDS.astype(np.int64)), tiff(IDS.astype(np.int8)), tiff(IDS, compression='zlib'),
    encoded(IDS, 'TIFF', compression='tiff_lzw'),
    tiff(255 - IDS, photometric='miniswhite'), encoded(IDS, 'BMP'), encoded(IDS.astype(np.uint16)),
    palette_mask(IDS, (0, 1, 2), kind='BMP'), palette_mask(IDS, (0, 1, 2), kind='TIFF'), palette_mask(IDS, (0, 1, 2)),
    encoded(Image.merge('LA', [Image.fromarray(IDS), Image.new('L', (16, 12), 255)]))])
def test_whole_numbers_are_read_whatever_their_type(data):
    np.testing.assert_array_equal(decode_mask(data, 'x'), IDS)


def test_a_bmp_with_a_palette_of_two_colours():
    """Pillow takes one of black and white for one bit a pixel, and reads eight pixels out of each."""
    ids = IDS % 2
    for colors in ([[0, 0, 0], [255, 255, 255]], [[255, 255, 255], [0, 0, 0]], [[0, 0, 0], [9, 0, 0]]):
        data = palette_mask(ids, (0, 1), np.array(colors, np.uint8), kind='BMP')
        np.testing.assert_array_equal(decode_mask(data, 'x'), ids)
        np.testing.assert_array_equal(decode_image(data, 'x'), np.array(colors, np.uint8)[ids])


@pytest.mark.parametrize('data, words', [
    (encoded(IDS, 'JPEG'), 'a mask that is JPEG inside'),
    (encoded(IDS, 'JPEG2000'), 'a mask that is JPEG2000 inside'),
    (encoded(np.stack([IDS] * 3, -1), 'WEBP', lossless=True), 'a mask that is WEBP inside'),
    (encoded(IDS, 'TIFF', compression='jpeg'), 'a mask compressed as jpeg'),
    (tiff(np.stack([IDS == c for c in range(3)]).astype(np.uint8), photometric='minisblack'), 'a mask of 3 pages'),
    (encoded(Image.fromarray(IDS), save_all=True, append_images=[Image.fromarray(1 - IDS % 2)]), 'a mask of 2 frames'),
    (tiff(np.where(IDS == 0, np.int16(-1), IDS.astype(np.int16))), 'signed mask with values from -1 to 2'),
    (tiff(np.where(IDS == 0, np.int8(-1), IDS.astype(np.int8))), 'signed mask with values from -1 to 2'),
    (tiff(IDS.astype(np.float32) - 1), 'floating point mask with values from -1 to 1'),
    (tiff(IDS.astype(np.float32) + 0.5), 'floating point mask with fractions, such as 0.5'),
    (tiff(np.where(IDS == 0, np.nan, IDS).astype(np.float32)),
     'floating point mask with 160 pixels that are no number'),
    (encoded(IDS.astype(np.uint16) * 300), '16-bit mask with values up to 600'),
    (encoded(np.dstack([TABLE[IDS], 255 - IDS * 40])), r'transparent in part \(alpha 175 to 255\)'),
    (tiff(65535 - IDS.astype(np.uint16), photometric='miniswhite'), 'a mask of 16 bits whose tag says that 0 is white'),
    (tiff(np.zeros((12, 16, 5), np.uint8), photometric='minisblack', planarconfig='contig'), 'a mask of 5 channels'),
    (encoded(Image.fromarray(TABLE[IDS]).convert('CMYK'), 'TIFF'), 'mask with colours of mode CMYK')])
def test_what_is_no_mask_is_named(data, words):
    with pytest.raises(InputError, match=f'm.png: .*{words}') as caught:
        decode_mask(data, 'm.png')
    assert len(str(caught.value).splitlines()) <= 3


def test_overviews_are_no_pages(tmp_path):
    """GDAL adds smaller copies to large files, which nobody takes for another mask."""
    with tifffile.TiffWriter(tmp_path / 'm.tif') as file:
        file.write(IDS, photometric='minisblack')
        file.write(IDS[::2, ::2], photometric='minisblack', subfiletype=1)
    np.testing.assert_array_equal(decode_mask((tmp_path / 'm.tif').read_bytes(), 'x'), IDS)


@pytest.mark.parametrize('data', [
    encoded(np.dstack([TABLE[IDS], np.where(IDS == 1, 0, 255).astype(np.uint8)])),
    encoded(np.dstack([TABLE[IDS], np.where(IDS == 1, 0, 130).astype(np.uint8)])),  # made to lie over its image
    encoded(TABLE[IDS], transparency=RED), encoded(IDS, transparency=1),
    palette_mask(IDS, (0, 1, 2), transparency=1), palette_mask(IDS, (0, 1, 2), transparency=b'\xff\0\xff'),
    encoded(Image.merge('LA', [Image.fromarray(IDS), Image.fromarray(np.where(IDS == 1, 0, 255).astype(np.uint8))]))])
def test_transparent_pixels_are_told_apart(data):
    np.testing.assert_array_equal(read_mask(data, 'x').hidden, IDS == 1)
    info = mask_info(data, 'x')
    assert info.hidden == 16 and 1 not in info.values and 0xdc1e1e not in info.colors and sum(info.counts) == 176


def test_facts_of_colours_are_counted():
    info = mask_info(encoded(TABLE[IDS]), 'x')
    assert dict(zip(info.colors, info.counts)) == {0: 160, 0xdc1e1e: 16, 0x1ec828: 16} and info.form == 'color'


PHOTO = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
GRAY = PHOTO[..., 0]


@pytest.mark.parametrize('form', [PixelFormat(), PixelFormat(1), PixelFormat(3, (0, 255))])
def test_an_image_in_which_0_is_white(form):
    found = decode_image(tiff(255 - GRAY, photometric='miniswhite'), 'x', form)
    np.testing.assert_array_equal(found, decode_image(encoded(GRAY), 'x', form))


@pytest.mark.parametrize('form', [PixelFormat(), PixelFormat(1, (0, 65535))])
def test_sixteen_bits_in_which_0_is_white(form):
    deep = GRAY.astype(np.uint16) * 257
    found = decode_image(tiff(65535 - deep, photometric='miniswhite'), 'x', form)
    np.testing.assert_array_equal(found, decode_image(encoded(deep), 'x', form))


@pytest.mark.parametrize('form', [PixelFormat(), PixelFormat(3, (0, 255))])
def test_palette_and_ycbcr_images_give_their_colours(form):
    colormap = np.zeros((3, 256), np.uint16)
    colormap[:, :48] = PHOTO.reshape(48, 3).T.astype(np.uint16) * 257
    indexed = tiff(np.arange(48, dtype=np.uint8).reshape(6, 8), photometric='palette', colormap=colormap)
    np.testing.assert_array_equal(decode_image(indexed, 'x', form), PHOTO)
    stored = tiff(np.asarray(Image.fromarray(PHOTO).convert('YCbCr')), photometric='ycbcr')
    assert np.abs(decode_image(stored, 'x', form).astype(int) - PHOTO).max() <= 3  # rounded twice
