"""From pixel values to what the networks take, and back."""

import jax
import jax.numpy as jnp

# Mean and standard deviation of ImageNet in red, green, blue, on the scale 0..1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalize(images: jax.Array) -> jax.Array:
    """uint8 or float [..., 3] in 0..255 -> float32 of the same shape, ImageNet mean 0 and deviation 1."""
    scale = 255.0 * jnp.asarray(STD, jnp.float32)
    return (images.astype(jnp.float32) - 255.0 * jnp.asarray(MEAN, jnp.float32)) / scale


def denormalize(images: jax.Array) -> jax.Array:
    """The inverse of `normalize`: float [..., 3] -> float32 [..., 3] in 0..255."""
    scale = 255.0 * jnp.asarray(STD, jnp.float32)
    return images.astype(jnp.float32) * scale + 255.0 * jnp.asarray(MEAN, jnp.float32)
