"""Gaussian blur against SciPy and Pillow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageFilter
from scipy import ndimage

from s4mim_jax import views
from s4mim_jax.views import blur


def picture(size=(40, 31)):
    return np.random.default_rng(0).random((*size, 3)).astype(np.float32)


@pytest.mark.parametrize('sigma', [0.1, 0.5, 1.3, 2.0])
def test_agrees_with_scipy(sigma):
    image = picture()
    radius = views.kernel_radius(2.0)
    expected = np.stack([ndimage.gaussian_filter(image[..., c].astype(np.float64), sigma, mode='nearest',
                                                 radius=radius) for c in range(3)], -1)
    np.testing.assert_allclose(views.gaussian_blur(jnp.asarray(image), sigma, radius), expected, atol=1e-6)


def test_agrees_with_pillow():
    image = (ndimage.gaussian_filter(picture((48, 64)), (1, 1, 0)) * 255).astype(np.uint8)
    expected = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(2.0)), np.float32)
    ours = np.asarray(views.gaussian_blur(jnp.asarray(image, jnp.float32), 2.0, views.kernel_radius(2.0)))
    # Pillow approximates the Gaussian by three box filters, rounds after each and continues the
    # border anew each time.
    difference = np.abs(ours - expected)
    assert difference[8:-8, 8:-8].max() < 3.0
    assert difference.max() < 10.0
    assert difference.mean() < 0.1 * np.abs(image - expected).mean()


def test_kernel_sums_to_one_and_holds_the_gaussian():
    for sigma in (0.1, 1.0, 2.0):
        weights = np.asarray(blur.kernel(jnp.float32(sigma), 6))
        np.testing.assert_allclose(weights.sum(), 1.0, atol=1e-6)
        np.testing.assert_array_equal(weights, weights[::-1])
    wide = np.asarray(blur.kernel(jnp.float32(2.0), 30))
    assert wide[24:37].sum() > 0.997  # what the radius of three sigma keeps


def test_sigma_is_traced_and_each_image_has_its_own():
    images = jnp.asarray(np.stack([picture((9, 8))] * 3))
    sigmas = jnp.asarray([0.1, 1.0, 2.0])
    out = jax.jit(jax.vmap(lambda image, sigma: views.gaussian_blur(image, sigma, 6)))(images, sigmas)
    alone = jnp.stack([views.gaussian_blur(images[i], sigmas[i], 6) for i in range(3)])
    np.testing.assert_allclose(out, alone, atol=1e-6)
    assert np.std(out[0]) > np.std(out[1]) > np.std(out[2])


def test_image_smaller_than_the_kernel():
    image = picture((2, 3))
    expected = ndimage.gaussian_filter(image.astype(np.float64), (2.0, 2.0, 0.0), mode='nearest',
                                       radius=(6, 6, 0))
    np.testing.assert_allclose(views.gaussian_blur(jnp.asarray(image), 2.0, 6), expected, atol=1e-6)
