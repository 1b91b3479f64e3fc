"""The hue of a pixel by two tests, fused with what stands before it and alone: how many pixels differ.

    python tests/hue_by_equality.py          needs JAX alone

`equal` asks which channel equals the maximum, as colour conversions often do (dm-pix 0.4.5 among them). A compiler may
compute the blends once for the maximum and once for the channels, and round them in two ways: then no channel is the
maximum, and the pixel takes the last case. `ordered` compares the channels with one another. See docs/platform.md.
"""

import jax
import jax.numpy as jnp
import numpy as np


def contrasts(image, factors):
    for factor in factors:
        mean = jnp.mean(.299 * image[..., 0] + .587 * image[..., 1] + .114 * image[..., 2])
        image = jnp.clip(factor * image + (1 - factor) * mean, 0, 1)
    return image


def turned(rgb, shift, test):
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    value = jnp.maximum(jnp.maximum(r, g), b)
    chroma = value - jnp.minimum(jnp.minimum(r, g), b)
    red, green = {'equal': (value == r, value == g), 'ordered': ((r >= g) & (r >= b), g >= b)}[test]
    norm = 1 / jnp.where(chroma > 0, chroma, 1)
    sixths = jnp.where(red, norm * (g - b), jnp.where(green, norm * (b - r) + 2, norm * (r - g) + 4))
    sixths = jnp.where(chroma > 0, sixths, 0) + 6 * (sixths < 0)
    sixths = 6 * ((sixths / 6 + shift) % 1)
    saturation = jnp.where(value > 0, chroma / jnp.where(value > 0, value, 1), 0)
    shares = jnp.abs(sixths - 3) - 1, 2 - jnp.abs(sixths - 2), 2 - jnp.abs(sixths - 4)
    return jnp.stack([value * (1 - saturation + saturation * jnp.clip(share, 0, 1)) for share in shares], -1)


def differing(test: str, side: int = 161, count: int = 16) -> int:
    """Of `count` images of random bytes, those in one program under jit(vmap(...)) against those in two."""
    random = np.random.default_rng(0)
    images = jnp.asarray(random.integers(0, 256, (count, side, side, 3)) / 255, jnp.float32)
    factors = jnp.asarray(random.uniform(.5, 1.5, (count, 3)), jnp.float32)
    shifts = jnp.asarray(random.uniform(-.25, .25, count), jnp.float32)
    fused = jax.jit(jax.vmap(lambda i, f, s: turned(contrasts(i, f), s, test)))(images, factors, shifts)
    alone = jax.jit(jax.vmap(lambda i, s: turned(i, s, test)))(jax.jit(jax.vmap(contrasts))(images, factors), shifts)
    return int((jnp.abs(fused - alone) > .02).any(-1).sum())


if __name__ == '__main__':
    for name in ('equal', 'ordered'):
        print(f'jax {jax.__version__}, {name}: {differing(name)} of {16 * 161 * 161} pixels differ')
