"""Resizing: bilinear against a per-pixel NumPy version of the two published definitions, bicubic against PIL."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from s4mim_jax.models.resize import cubic_matrix, resize_bilinear, resize_to_stride


def by_pixel(x, size, align_corners):
    """PyTorch's definition: source position, then the two neighbours of each axis."""
    height, width = x.shape[1:3]
    out = np.zeros((x.shape[0], *size, x.shape[3]))
    for i in range(size[0]):
        for j in range(size[1]):
            if align_corners:
                y = i * (height - 1) / max(size[0] - 1, 1)
                z = j * (width - 1) / max(size[1] - 1, 1)
            else:
                y = max((i + 0.5) * height / size[0] - 0.5, 0)
                z = max((j + 0.5) * width / size[1] - 0.5, 0)
            y0, z0 = int(y), int(z)
            y1, z1 = min(y0 + 1, height - 1), min(z0 + 1, width - 1)
            dy, dz = y - y0, z - z0
            out[:, i, j] = ((1 - dy) * ((1 - dz) * x[:, y0, z0] + dz * x[:, y0, z1])
                            + dy * ((1 - dz) * x[:, y1, z0] + dz * x[:, y1, z1]))
    return out


@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('source, target', [
    ((4, 5), (16, 20)), ((5, 4), (13, 7)), ((9, 8), (4, 3)), ((1, 3), (6, 6)), ((6, 6), (1, 1)),
    ((3, 7), (3, 14))])
def test_equals_the_definition(source, target, align_corners):
    x = np.random.default_rng(0).normal(size=(2, *source, 3)).astype(np.float32)
    np.testing.assert_allclose(resize_bilinear(jnp.asarray(x), target, align_corners),
                               by_pixel(x.astype(np.float64), target, align_corners), atol=2e-6)


def test_the_two_modes_differ_and_aligned_corners_are_kept():
    x = jnp.arange(12.0).reshape(1, 3, 4, 1)
    aligned, halves = (resize_bilinear(x, (7, 9), mode) for mode in (True, False))
    assert aligned[0, 0, 0, 0] == 0 and aligned[0, -1, -1, 0] == 11
    assert float(jnp.abs(aligned - halves).max()) > 0.3


def test_same_size_is_the_identity_and_the_result_is_float32():
    x = jax.random.normal(jax.random.key(0), (1, 4, 6, 2), jnp.bfloat16)
    y = resize_bilinear(x, (4, 6), False)
    assert y.dtype == jnp.float32
    np.testing.assert_array_equal(y, x.astype(jnp.float32))
    assert resize_bilinear(x, (8, 6), False).dtype == jnp.float32


@pytest.mark.parametrize('source, target', [(9, 4), (5, 13), (7, 7)])
def test_bicubic_with_antialiasing_is_pils(source, target):
    line = np.random.default_rng(0).normal(size=(source, 1)).astype(np.float32)
    expected = np.asarray(Image.fromarray(line).resize((1, target), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(cubic_matrix(source, target, antialias=True) @ line, expected, atol=1e-6)


def test_bicubic_reproduces_what_keys_kernel_must():
    """Constants everywhere; straight lines inside, where no tap repeats the border. (The definition: test_vit.py.)"""
    matrix = cubic_matrix(8, 21)
    np.testing.assert_allclose(matrix.sum(1), 1.0, atol=1e-6)
    np.testing.assert_allclose(cubic_matrix(6, 6), np.eye(6), atol=1e-7)
    centre = (np.arange(21) + 0.5) * 8 / 21 - 0.5
    taps = [sorted(np.flatnonzero(row)) for row in matrix]
    assert all(low <= np.floor(c) - 1 + 1e-9 or low == 0 for c, (low, *_) in zip(centre, taps))
    assert max(map(len, taps)) == 4 and matrix.min() < -0.05


@pytest.mark.parametrize('target, size', [(4, (11, 18)), (2, (21, 35)), (16, (3, 5))])
def test_a_map_takes_another_stride_with_the_size_that_strided_encoders_give(target, size):
    x = jax.random.normal(jax.random.key(0), (1, 3, 5, 2))  # of 42 x 70 pixels
    np.testing.assert_array_equal(resize_to_stride(x, 14, target, True), resize_bilinear(x, size, True))
