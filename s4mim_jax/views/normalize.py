"""From pixel values to what the networks take, and back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Real, Shaped

# Mean and standard deviation of ImageNet in red, green, blue, on the scale 0..1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def statistics(data) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel on the scale 0..1, from `config.data` (channels, mean, std).

    Where they are not set: ImageNet's for three channels; the means of its three, 0.449 and 0.226, for
    every channel of another number.
    """
    default = (MEAN, STD) if data.channels == 3 else (
        (round(sum(MEAN) / 3, 6),) * data.channels, (round(sum(STD) / 3, 6),) * data.channels)
    return tuple(data.mean or default[0]), tuple(data.std or default[1])


def normalizer(data):
    """`normalize` with the statistics of `config.data`."""
    mean, std = statistics(data)
    return partial(normalize, mean=mean, std=std)


def normalize(images: Real[Array, '*shape C'], mean: tuple[float, ...] = MEAN,
              std: tuple[float, ...] = STD) -> Float[Array, '*shape C']:
    """uint8 or float in 0..255 -> float32 with mean 0 and deviation 1.

    mean, std: C numbers each on the scale 0..1; by default those of ImageNet.
    """
    scale = 255.0 * jnp.asarray(std, jnp.float32)
    return (images.astype(jnp.float32) - 255.0 * jnp.asarray(mean, jnp.float32)) / scale


def denormalize(images: Float[Array, '*shape C'], mean: tuple[float, ...] = MEAN,
                std: tuple[float, ...] = STD) -> Float[Array, '*shape C']:
    """The inverse of `normalize`: float32 in 0..255."""
    scale = 255.0 * jnp.asarray(std, jnp.float32)
    return images.astype(jnp.float32) * scale + 255.0 * jnp.asarray(mean, jnp.float32)


def as_rgb(images: Shaped[np.ndarray | Array, '*shape C']) -> Shaped[np.ndarray | Array, '*shape 3']:
    """To look at: the first three channels; one or two as the gray of the first."""
    return images[..., :3] if images.shape[-1] >= 3 else images[..., [0, 0, 0]]
