"""The strong photometric view: jitter, grayscale, blur, each with its probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from s4mim_jax.parallel import target
from s4mim_jax.views import blur, color

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Key


def photometric(keys: Key[Array, ' B'], images: Float[Array, 'B H W C'], config, *,
                shards: int = 1) -> Float[Array, 'B H W C']:
    """UniMatch's strong view (V1 and V2 alike): ColorJitter, then grayscale, then Gaussian blur.

    Grayscale exists for three channels alone, as do saturation and hue; other images have brightness,
    contrast and blur. An operation of probability 0 is not built at all. What happens to an image depends on its key
    alone, not on its place in the batch or on the other images.

    On a processor images are worked off one by one, and what chance leaves out is not computed
    (benchmarks/processor_forms.py); accelerators compute everything for all at once.

    Args:
      keys: `jax.random.key`, one per global example.
      images: float32 in 0..1.
      config: `config.views`.
      shards: devices that the visible batch lies on; a loop over it would send every image to all of them.

    Returns:
      float32 in 0..1.
    """
    if target.platform() == 'cpu' and shards == 1:
        return jax.lax.map(lambda pair: _one(*pair, config, _branch), (keys, images))
    return jax.vmap(lambda key, image: _one(key, image, config, _select))(keys, images)


def _select(taken, change, image):
    """The changed image where `taken`; it is computed in any case."""
    return jnp.where(taken, change(image), image)


def _branch(taken, change, image):
    """The changed image where `taken`, and only then is it computed."""
    return jax.lax.cond(taken, change, lambda image: image, image)


def _one(key, image, config, pick):
    # Drawn whichever operations are on: switching one off leaves the others' draws alone.
    jitter_key, key = jax.random.split(key)
    jitter_chance, gray_chance, blur_chance, blur_position = jax.random.uniform(key, (4,))
    if config.jitter_probability:
        jitter = lambda image: color.jitter(jitter_key, image, config, branch=pick is _branch)
        image = pick(jitter_chance < config.jitter_probability, jitter, image)
    if config.grayscale_probability and image.shape[-1] == 3:
        image = pick(gray_chance < config.grayscale_probability, color.grayscale, image)
    if config.blur_probability:
        blurred = lambda image: _blurred(image, blur_position, config)
        image = pick(blur_chance < config.blur_probability, blurred, image)
    return image


def _blurred(image, position, config):
    low, high = config.blur_sigma
    sigma = low + (high - low) * position
    # The weights sum to one only to rounding.
    return jnp.clip(blur.gaussian_blur(image, sigma, blur.kernel_radius(high)), 0.0, 1.0)
