"""Geometry of crops against resizing everything first, written out in NumPy, and Pillow's own."""

import hashlib
import math
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from pipeline_world import encoded, photograph

from s4mim_jax.data import geometry
from s4mim_jax.data.tensorflow_setup import tf

TOP = 2 ** 32 - 1
# Pillow rounds to 8 bits after each of its two passes, and rounds its weights: two levels of 255.
TOLERANCE = 2


def triangle_weights(source, scaled):
    """float64 [scaled, source]: antialiased bilinear weights with half-pixel centres."""
    step = source / scaled
    width = max(step, 1.0)
    centres = (np.arange(scaled) + 0.5) * step
    weights = np.maximum(0, 1 - abs(np.arange(source) + 0.5 - centres[:, None]) / width)
    return weights / weights.sum(1, keepdims=True)


def reference(image, placement, crop):
    """Resize the whole image, pad, crop, flip: float64 [H, W, 3]."""
    rows, columns = (triangle_weights(n, m) for n, m in zip(placement.source, placement.scaled))
    resized = np.einsum('yi,xj,ijc->yxc', rows, columns, image.astype(float))
    padded = np.pad(resized, [(0, max(crop[0] - resized.shape[0], 0)),
                              (0, max(crop[1] - resized.shape[1], 0)), (0, 0)])
    y, x = placement.corner
    cut = padded[y:y + crop[0], x:x + crop[1]]
    return cut[:, ::-1] if placement.flip else cut


def draws(count, seed=0):
    return np.random.default_rng(seed).integers(0, 2 ** 32, (count, 4)).tolist()


def cropped(image, placement, crop):
    out = np.zeros((*crop, 3), np.uint8)
    geometry.crop_image(image, (0, 0), placement, out)
    return out


def test_long_side_is_uniform_over_its_range_with_both_ends():
    sides = [max(geometry.place([b, 0, 0, 0], (30, 40), (8, 8), scale=(0.5, 2.0)).scaled)
             for b in np.linspace(0, TOP, 6100, dtype=np.int64)]
    values, counts = np.unique(sides, return_counts=True)
    assert values.tolist() == list(range(20, 81))
    assert counts.min() >= 95 and counts.max() <= 105


@pytest.mark.parametrize('base,long_side,aspect', [(None, 40, 3 / 4), ((36, 60), 60, 3 / 5),
                                                   ((60, 36), 60, 5 / 3)])
def test_aspect_and_range_are_those_of_the_base(base, long_side, aspect):
    for bits in draws(200):
        scaled = geometry.place(bits, (30, 40), (8, 8), scale=(0.5, 1.5), base=base).scaled
        assert long_side // 2 <= max(scaled) <= long_side * 3 // 2
        assert abs(scaled[0] - scaled[1] * aspect) <= max(aspect, 1)


def test_corners_reach_every_position_and_no_further():
    for bits, corner in (([0] * 4, (0, 0)), ([0, TOP, TOP, 0], (2, 12))):
        placement = geometry.place(bits, (30, 40), (28, 28), scale=(1.0, 1.0))
        assert placement.corner == corner and placement.visible == (28, 28)
    small = geometry.place([TOP] * 4, (30, 40), (64, 16), scale=(1.0, 1.0))
    assert small.corner == (0, 24) and small.visible == (30, 16)


def test_flip_is_half_and_can_be_switched_off():
    placements = [[geometry.place(b, (9, 9), (4, 4), scale=(0.5, 2.0), flip=on) for b in draws(400)]
                  for on in (True, False)]
    assert 160 < sum(p.flip for p in placements[0]) < 240
    assert not any(p.flip for p in placements[1])
    assert [p.corner for p in placements[0]] == [p.corner for p in placements[1]]


@pytest.mark.parametrize('size,crop,scale', [
    ((23, 31), (17, 19), (0.5, 2.0)), ((31, 23), (40, 12), (0.2, 1.5)),
    ((16, 16), (16, 16), (1.0, 1.0)), ((60, 50), (9, 9), (0.05, 0.3))])
def test_crop_equals_resize_pad_crop_flip(size, crop, scale):
    image = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    for bits in draws(25, seed=1):
        placement = geometry.place(bits, size, crop, scale=scale)
        difference = cropped(image, placement, crop) - reference(image, placement, crop)
        assert abs(difference).max() <= TOLERANCE


def test_crop_equals_pillow_resizing_the_whole():
    image = photograph((90, 120))
    for bits in draws(25):
        placement = geometry.place(bits, (90, 120), (50, 40), scale=(0.6, 2.0), flip=False)
        whole = Image.fromarray(image).resize(placement.scaled[::-1], Image.Resampling.BILINEAR)
        (y, x), (h, w) = placement.corner, placement.visible
        difference = cropped(image, placement, (50, 40))[:h, :w].astype(int)
        difference -= np.asarray(whole)[y:y + h, x:x + w]
        assert abs(difference).max() <= TOLERANCE


@pytest.mark.parametrize('options', [dict(subsampling=0), dict(subsampling=1), dict(subsampling=2),
                                     dict(subsampling=2, progressive=True)])
def test_jpeg_window_gives_the_bytes_of_the_whole_image(options):
    size, crop = (97, 131), (33, 45)
    noisy = photograph(size) // 2 + np.random.default_rng(0).integers(0, 128, (*size, 3), np.uint8)
    data = encoded(noisy, 'JPEG', quality=80, **options)
    whole = tf.io.decode_jpeg(data, 3, dct_method='INTEGER_ACCURATE').numpy()
    smaller = 0
    for bits in draws(40):
        placement = geometry.place(bits, size, crop, scale=(0.5, 2.5))
        window = geometry.source_window(placement)
        pixels = tf.image.decode_and_crop_jpeg(data, window, 3, dct_method='INTEGER_ACCURATE').numpy()
        out = np.zeros((*crop, 3), np.uint8)
        geometry.crop_image(pixels, window[:2], placement, out)
        np.testing.assert_array_equal(out, cropped(whole, placement, crop))
        smaller += pixels.size < whole.size // 2
    assert smaller > 10


def test_crops_are_the_same_bytes_with_every_pillow():
    """The digest is of Pillow 11.0.0, 12.3.0 and 13.0.0; a plain resize with a box has another one on 13."""
    image, digest = np.random.default_rng(5).integers(0, 256, (97, 131, 3), np.uint8), hashlib.sha256()
    for bits in draws(40):
        placement = geometry.place(bits, (97, 131), (33, 45), scale=(0.5, 2.5))
        top, left, height, width = geometry.source_window(placement)
        out = np.zeros((33, 45, 3), np.uint8)
        geometry.crop_image(image[top:top + height, left:left + width].copy(), (top, left), placement, out)
        np.testing.assert_array_equal(out, cropped(image, placement, (33, 45)))
        digest.update(out.tobytes())
    assert digest.hexdigest()[:16] == '27e4d4318475193b'


def test_label_is_the_nearest_source_pixel():
    size, crop = (23, 31), (20, 26)
    mask = np.random.default_rng(0).integers(0, 200, size, np.uint8)
    for bits in draws(20):
        p = geometry.place(bits, size, crop, scale=(0.4, 2.0))
        out = np.full(crop, 255, np.uint8)
        geometry.crop_label(mask, p, out)
        expected = np.full(crop, 255, np.uint8)
        for y in range(p.visible[0]):
            for x in range(p.visible[1]):
                source = [math.floor((p.corner[a] + i + Fraction(1, 2)) * Fraction(size[a], p.scaled[a]))
                          for a, i in ((0, y), (1, x))]
                expected[y, x] = mask[tuple(source)]
        np.testing.assert_array_equal(out, expected[:, ::-1] if p.flip else expected)


def test_label_lies_on_its_image():
    """An image that is bright exactly where its mask is 1: both crops agree but for blurred rims."""
    mask = (photograph((60, 80), seed=5)[..., 0] > 127).astype(np.uint8)
    image = np.repeat(mask[..., None] * 255, 3, 2)
    for bits in draws(20):
        p = geometry.place(bits, (60, 80), (48, 48), scale=(0.5, 2.0))
        label = np.full((48, 48), 255, np.uint8)
        geometry.crop_label(mask, p, label)
        shown = cropped(image, p, (48, 48))[..., 0]
        clear = (label != 255) & ((shown < 64) | (shown > 191))
        assert clear.sum() > 0.8 * (label != 255).sum()
        np.testing.assert_array_equal(label[clear], shown[clear] > 127)


def test_enclosing_window_holds_both():
    assert geometry.enclosing([(2, 5, 10, 4), (4, 1, 3, 3)]) == (2, 1, 10, 8)


def test_resize_image_is_antialiased_and_leaves_its_own_size_alone():
    image = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    rows, columns = triangle_weights(40, 13), triangle_weights(48, 17)
    expected = np.einsum('yi,xj,ijc->yxc', rows, columns, image.astype(float))
    assert abs(geometry.resize_image(image, (13, 17)) - expected).max() <= TOLERANCE
    np.testing.assert_array_equal(geometry.resize_image(image, (40, 48)), image)
