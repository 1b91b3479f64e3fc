"""The strong photometric view: jitter, grayscale, blur, each with its probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from s4mim_jax.views import blur, color

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Key


def photometric(keys: Key[Array, ' B'], images: Float[Array, 'B H W C'], config) -> Float[Array, 'B H W C']:
    """UniMatch's strong view (V1 and V2 alike): ColorJitter, then grayscale, then Gaussian blur.

    Grayscale exists for three channels alone, as do saturation and hue; other images have brightness,
    contrast and blur. An operation of probability 0 is not built at all. What happens to an image depends on its key
    alone, not on its place in the batch or on the other images.

    Args:
      keys: `jax.random.key`, one per global example.
      images: float32 in 0..1.
      config: `config.views`.

    Returns:
      float32 in 0..1.
    """
    return jax.vmap(lambda key, image: _one(key, image, config))(keys, images)


def _one(key, image, config):
    # Drawn whichever operations are on: switching one off leaves the others' draws alone.
    jitter_key, key = jax.random.split(key)
    jitter_chance, gray_chance, blur_chance, blur_position = jax.random.uniform(key, (4,))
    if config.jitter_probability:
        jittered = color.jitter(jitter_key, image, config)
        image = jnp.where(jitter_chance < config.jitter_probability, jittered, image)
    if config.grayscale_probability and image.shape[-1] == 3:
        image = jnp.where(gray_chance < config.grayscale_probability, color.grayscale(image), image)
    if config.blur_probability:
        low, high = config.blur_sigma
        sigma = low + (high - low) * blur_position
        blurred = blur.gaussian_blur(image, sigma, blur.kernel_radius(high))
        # The weights sum to one only to rounding.
        image = jnp.where(blur_chance < config.blur_probability, jnp.clip(blurred, 0.0, 1.0), image)
    return image
