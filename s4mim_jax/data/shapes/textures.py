"""Surface patterns: each gives, per pixel, how much of a second colour is mixed in (0 .. 1).

Patterns live in an object's own coordinates u, v (about -1 .. 1 across the object), so that they
turn and scale with it.
"""

import numpy as np

from s4mim_jax.data.shapes.chance import Chance, step, value_noise, wave


def plain(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """One colour."""
    return np.zeros_like(u)


def mottled(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Soft patches of two sizes: stone, rust, grass."""
    size = len(u)
    field = 0.6 * value_noise(chance, size, 14) + 0.4 * value_noise(chance, size, 34)
    return step(field, chance.between(0.42, 0.58), 0.25)


def stripes(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Straight stripes in any direction."""
    cos, sin = chance.rotation()
    return step(wave(chance.between(1.2, 2.6) * (u * cos + v * sin) + chance.between(0, 1)),
                chance.between(0.4, 0.6), 0.12)


def bands(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Few bands across v: cones, bottles, sports balls."""
    return step(wave(chance.between(0.7, 1.3) * v + chance.between(0, 1)),
                chance.between(0.4, 0.65), 0.1)


def spots(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Round spots in shifted rows."""
    scale = chance.between(1.6, 2.8)
    x, y = scale * u + chance.between(0, 1), scale * v + chance.between(0, 1)
    x = x + 0.5 * (np.floor(y) - 2 * np.floor(y / 2))  # every other row is shifted
    dx, dy = x - np.floor(x) - 0.5, y - np.floor(y) - 0.5
    return 1 - step(np.sqrt(dx * dx + dy * dy), chance.between(0.22, 0.34), 0.1)


def checks(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """A checkerboard."""
    scale = chance.between(1.5, 2.6)
    parity = np.floor(scale * u + chance.between(0, 1)) + np.floor(scale * v + chance.between(0, 1))
    return parity - 2 * np.floor(parity / 2)


def bricks(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Mortar lines around courses of bricks, each second course shifted by half a brick."""
    scale = chance.between(1.8, 3.2)
    y = scale * v * 1.1 + chance.between(0, 1)
    x = 0.5 * scale * u + 0.5 * (np.floor(y) - 2 * np.floor(y / 2)) + chance.between(0, 1)
    width = chance.between(0.14, 0.24)
    return np.maximum(1 - step(wave(y), width * 1.3, 0.12), 1 - step(wave(x), width * 0.7, 0.07))


def planks(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Parallel boards with a frame and, at times, a diagonal one: crates."""
    gaps = 1 - step(wave(chance.between(1.5, 2.6) * u + chance.between(0, 1)), 0.2, 0.15)
    frame = step(np.maximum(abs(u), abs(v)), chance.between(0.72, 0.82), 0.05)
    if chance.happens(0.5):
        frame = np.maximum(frame, 1 - step(abs(u - v), 0.22, 0.06))
    return np.maximum(0.8 * gaps * (1 - frame), frame * 0.6)


def veins(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """A midrib along u and side veins that leave it at a slant."""
    slant = chance.between(0.6, 1.4)
    side = 1 - step(wave(chance.between(1.8, 3.0) * (u - slant * abs(v))), 0.22, 0.2)
    return np.maximum(0.7 * side, 1 - step(abs(v), 0.06, 0.06))


def rings(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Circles around the centre."""
    return step(wave(chance.between(1.5, 3.0) * np.sqrt(u * u + v * v) + chance.between(0, 1)),
                chance.between(0.35, 0.65), 0.15)


def sectors(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Alternating sectors around the centre: beach balls, life belts."""
    cos, sin = chance.rotation()
    x, y = u * cos + v * sin, v * cos - u * sin
    signs = (x > 0) ^ (y > 0) ^ (abs(x) > abs(y)) if chance.happens(0.6) else (x > 0) ^ (y > 0)
    return signs.astype(np.float32)
