"""Colour operations on one image (vmap over a batch), with the semantics of torchvision and Pillow.

Every operation takes float32 [H, W, 3] (`jitter` any number of channels) in 0..1 with traced parameters and
clips its result to 0..1, as torchvision does after each operation. All four are written here: dm-pix means
something else by three of them (additive brightness, contrast about each channel's own mean, saturation in
HSV), and by its hue compilers may draw wrong pixels (docs/platform.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from s4mim_jax.parallel import target

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int, PRNGKeyArray

_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, Pillow's mode L
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)


def brightness(image: Float[Array, 'H W C'], factor: Float[Array, '']) -> Float[Array, 'H W C']:
    """factor * image (torchvision `adjust_brightness`, Pillow `ImageEnhance.Brightness`)."""
    return _blend(image, factor, 0.0)


def contrast(image: Float[Array, 'H W C'], factor: Float[Array, '']) -> Float[Array, 'H W C']:
    """Blend with the image's mean luma (torchvision `adjust_contrast`, Pillow `ImageEnhance.Contrast`)."""
    return _blend(image, factor, jnp.mean(luma(image)))


def saturation(image: Float[Array, 'H W C'], factor: Float[Array, '']) -> Float[Array, 'H W C']:
    """Blend with every pixel's luma (torchvision `adjust_saturation`, Pillow `ImageEnhance.Color`)."""
    return _blend(image, factor, luma(image)[..., None])


def hue(image: Float[Array, 'H W C'], shift: Float[Array, '']) -> Float[Array, 'H W C']:
    """Hue moved by `shift` turns, saturation and value kept (torchvision `adjust_hue`).

    Continuous in every input: which channel is the largest is asked by comparing channels with one another, and
    where two cases meet they agree. A compiler may compute what stands before this twice and round it in two ways;
    a channel then equals no maximum, and a test for equality takes a wrong case. This one moves by the rounding.
    """
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    reddest, greener = (red >= green) & (red >= blue), green >= blue
    between = jnp.where(reddest, green - blue, jnp.where(greener, blue - red, red - green))
    between = between / jnp.where(chroma > 0.0, chroma, 1.0)  # a gray has no hue, and no chroma to show one
    sixths = jnp.where(reddest, 0.0, jnp.where(greener, 2.0, 4.0)) + between + 6.0 * shift

    def channel(first):  # of HSV, as three ramps: falls from `value` by at most the chroma, twice a turn
        place = _modulo_six(first + sixths)
        return value - chroma * jnp.clip(jnp.minimum(place, 4.0 - place), 0.0, 1.0)

    return jnp.clip(jnp.stack([channel(5.0), channel(3.0), channel(1.0)], axis=-1), 0.0, 1.0)


def _modulo_six(x):
    """x modulo 6. On a processor by rounding down: the rest of a division is a call for every number there."""
    return x - 6.0 * jnp.floor(x / 6.0) if target.platform() == 'cpu' else jnp.mod(x, 6.0)


def luma(image: Float[Array, 'H W 3']) -> Float[Array, 'H W']:
    """.299 R + .587 G + .114 B.

    Written as a sum: a dot product may run in bfloat16 on a TPU and lose the last bits of a pixel.
    """
    return _LUMA[0] * image[..., 0] + _LUMA[1] * image[..., 1] + _LUMA[2] * image[..., 2]


def grayscale(image: Float[Array, 'H W 3']) -> Float[Array, 'H W 3']:
    """[H, W, 3] with the luma in all three channels (torchvision `rgb_to_grayscale(..., 3)`)."""
    return jnp.broadcast_to(luma(image)[..., None], image.shape)


def jitter(key: PRNGKeyArray, image: Float[Array, 'H W C'], config, *, branch: bool = False) -> Float[Array, 'H W C']:
    """ColorJitter: the four operations in a random order, each with its own random strength.

    An image of another number of channels than three has no hue, saturation and luma: brightness and
    contrast, in the order drawn for them, act on all of its channels, and the mean that contrast blends
    with is that of all channels (ours).

    Args:
      key: one typed key.
      image: float32 [H, W, C] in 0..1.
      config: `config.views`; factors of brightness, contrast and saturation ~ U(max(0, 1 - b), 1 + b),
        hue shift ~ U(-h, h) turns.
      branch: as in `apply_in_order`.

    Returns:
      float32 [H, W, C] in 0..1.
    """
    # One draw of eight numbers: every further call of jax.random adds a second to compile times.
    drawn = jax.random.uniform(key, (8,), minval=-1.0)
    order = jnp.argsort(drawn[:4])
    strengths = jnp.array([config.brightness, config.contrast, config.saturation], jnp.float32)
    factors = jnp.maximum(1.0 + strengths * drawn[4:7], 0.0)
    if image.shape[-1] != 3:
        return _without_color(image, jnp.argmax(order == _BRIGHTNESS) < jnp.argmax(order == _CONTRAST), factors)
    return apply_in_order(image, order, factors, config.hue * drawn[7], branch=branch)


def _without_color(image, brightness_first, factors):
    """Brightness and contrast in a traced order, on all channels alike."""
    image = brightness(image, jnp.where(brightness_first, factors[_BRIGHTNESS], 1.0))
    image = _blend(image, factors[_CONTRAST], jnp.mean(image))
    return brightness(image, jnp.where(brightness_first, 1.0, factors[_BRIGHTNESS]))


def apply_in_order(image: Float[Array, 'H W C'], order: Int[Array, ' operations'], factors: Float[Array, ' factors'],
                   shift: Float[Array, ''], *, branch: bool = False) -> Float[Array, 'H W C']:
    """The four operations in a traced order, without evaluating all four at each of the four places.

    Hue is the costly one and stands somewhere in the order: the (at most three) blends before it
    run in a first group, the rest in a second, so hue runs once; a blend whose turn is in the other
    group is the identity (factor 1). Exact for all 24 orders: six cheap blends and one hue.

    Args:
      image: float32 [H, W, 3] in 0..1.
      order: int [4], a permutation of 0 brightness, 1 contrast, 2 saturation, 3 hue; first acts first.
      factors: float32 [3] of brightness, contrast, saturation.
      shift: float32 [], hue shift in turns.
      branch: whether a blend that has no turn is skipped; under vmap all are computed either way.
    """
    blend = _branching_blend if branch else _chosen_blend
    turn = jnp.argmax(order == _HUE)
    for place in range(3):  # before hue: places 0, 1, 2 as far as they come before it
        image = blend(image, order[place], factors, active=place < turn)
    image = hue(image, shift)
    for place in range(1, 4):
        image = blend(image, order[place], factors, active=place > turn)
    return image


def _branching_blend(image, operation, factors, active):
    """`_chosen_blend` as a branch that is taken or not. Its result lies in memory, where XLA:CPU would otherwise
    compute the blends before it once more for each channel of the luma."""
    factor = factors[jnp.minimum(operation, 2)]
    return jax.lax.switch(jnp.where(active, operation, 3),
                          [brightness, contrast, saturation, lambda image, factor: image], image, factor)


def _chosen_blend(image, operation, factors, active):
    """Brightness, contrast or saturation by a traced choice; `active` False = identity."""
    factor = jnp.where(active, factors[jnp.minimum(operation, 2)], 1.0)
    gray = luma(image)
    target = jnp.where(operation == _CONTRAST, jnp.mean(gray), gray) * (operation != _BRIGHTNESS)
    return _blend(image, factor, target[..., None])


def _blend(image, factor, target):
    return jnp.clip(factor * image + (1.0 - factor) * target, 0.0, 1.0)
