"""Hue on ties, grays and near-ties: alone, fused with the blends before it, and however values are rounded."""

import itertools

import hue_by_equality
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from roundings import rounded_anew

from s4mim_jax.views import color

SHIFTS = (-0.25, -0.1, 0.0, 0.17, 0.5)


def close_levels():
    """f32 [27, 27, 3]: every triple of nine levels, of which some are one or two roundings apart."""
    half, full = np.float32(0.5), np.float32(1.0)
    up = np.nextafter(half, full)
    levels = [0.0, 1 / 255, 0.25, half, up, np.nextafter(up, full), np.nextafter(half, -full),
              np.nextafter(full, -full), full]
    return np.array(list(itertools.product(np.float32(levels), repeat=3)), np.float32).reshape(27, 27, 3)


def grays_and_bytes(seed=0):
    """f32 [32, 32, 3] of bytes / 255: random, grays, two equal channels, neighbours by one level."""
    image = np.random.default_rng(seed).integers(0, 256, (32, 32, 3))
    image[:8] = image[:8, :, :1]
    for rows, one, other in ((slice(8, 14), 1, 0), (slice(14, 20), 2, 1), (slice(20, 24), 0, 2)):
        image[rows, :, one] = image[rows, :, other]
    image[24:26] = np.minimum(image[24:26, :, :1] + np.arange(3), 255)
    return (image / 255).astype(np.float32)


def turned(image, shift):
    """HSV and back in float64 NumPy, by the sextant in which a hue lies (Smith 1978)."""
    image = image.astype(np.float64)
    value, chroma = image.max(-1), np.ptp(image, axis=-1)
    largest = image.argmax(-1)
    following, before = (np.take_along_axis(image, (largest[..., None] + k) % 3, -1)[..., 0] for k in (1, 2))
    sixths = 2 * largest + (following - before) / np.where(chroma == 0, 1, chroma)
    sextant, part = np.divmod((sixths + 6 * shift) % 6, 1)
    low, falling, rising = value - chroma, value - chroma * part, value - chroma * (1 - part)
    cases = [(value, rising, low), (falling, value, low), (low, value, rising), (low, falling, value),
             (rising, low, value), (value, low, falling)]
    return np.choose(sextant.astype(int)[..., None] % 6, [np.stack(case, -1) for case in cases])


@pytest.mark.parametrize('image', [close_levels(), grays_and_bytes()], ids=['close levels', 'bytes'])
@pytest.mark.parametrize('shift', SHIFTS)
def test_hue_equals_plain_numpy(image, shift):
    np.testing.assert_allclose(color.hue(jnp.asarray(image), shift), turned(image, shift), atol=1e-6)
    np.testing.assert_allclose(jax.jit(color.hue)(jnp.asarray(image), shift), turned(image, shift), atol=1e-6)


@pytest.mark.parametrize('levels', [-64, 16, 43, 128])
def test_hue_agrees_with_pillow(levels):
    image = grays_and_bytes(1)
    hsv = np.array(Image.fromarray(np.uint8(np.rint(image * 255))).convert('HSV'))
    hsv[..., 0] = (hsv[..., 0].astype(int) + levels) % 255  # 0 and 255 are one hue
    expected = np.asarray(Image.fromarray(hsv, 'HSV').convert('RGB'), np.float32)
    # Pillow stores hue and saturation as whole levels: up to 1/255 turn, six times the chroma.
    np.testing.assert_allclose(color.hue(jnp.asarray(image), levels / 255) * 255, expected, atol=8)


def test_no_gray_is_coloured():
    grays = np.repeat(np.linspace(0, 1, 1001, dtype=np.float32)[:, None, None], 3, -1)
    np.testing.assert_array_equal(jax.jit(color.hue)(grays, 0.3), grays)


@pytest.mark.parametrize('image', [close_levels(), grays_and_bytes()], ids=['close levels', 'bytes'])
@pytest.mark.parametrize('shift', SHIFTS)
def test_hue_moves_by_the_rounding_only(image, shift):
    result = rounded_anew(lambda i: color.hue(i, jnp.float32(shift)), jnp.asarray(image))
    # Some twenty readings, of numbers up to six.
    np.testing.assert_allclose(result, turned(image, shift), atol=1e-5)


def test_fused_with_the_blends_before_it():
    rng = np.random.default_rng(2)
    images = jnp.asarray(np.stack([grays_and_bytes(seed) for seed in range(16)]))
    orders = jnp.asarray([order for order in itertools.permutations(range(4)) if order[0] != 3][:16])
    factors, shifts = jnp.float32(rng.uniform(0.5, 1.5, (16, 3))), jnp.float32(rng.uniform(-0.25, 0.25, 16))
    fused = jax.jit(jax.vmap(color.apply_in_order))(images, orders, factors, shifts)
    with jax.disable_jit():
        for image, order, strengths, shift, ours in zip(images, orders.tolist(), factors, shifts.tolist(), fused):
            for operation in order:
                if operation == 3:
                    image = jnp.asarray(turned(np.asarray(image), shift), jnp.float32)
                else:
                    blend = (color.brightness, color.contrast, color.saturation)[operation]
                    image = blend(image, strengths[operation])
            np.testing.assert_allclose(ours, image, atol=1e-5)


def test_the_reproducer_finds_no_pixel_by_order():
    """By equality it finds as many as the version and its flags make; docs/platform.md says how many."""
    assert hue_by_equality.differing('ordered', side=48, count=8) == 0
