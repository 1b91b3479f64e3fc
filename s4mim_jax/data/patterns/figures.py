"""Outlines of the figures, none of which `shapes` has; as there, in their own coordinates u, v of about -1 .. 1.

Each function returns `inside` bool [S, S] and the slopes of the surface towards u and v. Only + - * / sqrt and
floor are used, so that every machine draws the same.
"""

import numpy as np

from s4mim_jax.data.shapes.chance import Chance, value_noise, wave
from s4mim_jax.data.shapes.figures import Relief

HALF, SQRT3_2 = 0.5, 0.8660254037844386  # cos and sin of 60 degrees
DIAGONAL = 0.7071067811865476


def _raised(inside: np.ndarray, u: np.ndarray, v: np.ndarray, height: float = 0.3) -> Relief:
    return inside, height * u, height * v


def _disc(u, v, x, y, radius):
    return (u - x) * (u - x) + (v - y) * (v - y) < radius * radius


def _box(u, v, left, right, top, bottom):
    return (u > left) & (u < right) & (v > top) & (v < bottom)


def heart(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """Two lobes and a point."""
    x, y = 1.2 * u, 0.15 - 1.15 * v
    body = x * x + y * y - 1
    return _raised(body * body * body < x * x * y * y * y, u, v, 0.6)


def crescent(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A disc less another."""
    return _raised(_disc(u, v, 0, 0, 1) & ~_disc(u, v, chance.between(0.35, 0.55), 0, 0.8), u, v)


def cross(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """Two bars."""
    half = chance.between(0.2, 0.38)
    return _raised(_box(u, v, -half, half, -1, 1) | _box(u, v, -1, 1, -half, half), u, v)


def arrow(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A shaft and a head."""
    neck, half = chance.between(-0.2, 0.25), chance.between(0.12, 0.25)
    head = (u >= neck) & (u < 1) & (abs(v) < (1 - u) / (1 - neck) * 0.75)
    return _raised(_box(u, v, -1, neck, -half, half) | head, u, v)


def gear(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """Eight teeth and a hole."""
    half = chance.between(0.12, 0.2)
    x, y = (u + v) * DIAGONAL, (u - v) * DIAGONAL
    inside = _disc(u, v, 0, 0, 0.72)
    for across, along in ((u, v), (v, u), (x, y), (y, x)):
        inside = inside | ((abs(across) < half) & (abs(along) < 1))
    return _raised(inside & ~_disc(u, v, 0, 0, chance.between(0.15, 0.35)), u, v)


def nut(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A hexagon with a hole."""
    hexagon = np.maximum(abs(v), HALF * abs(v) + SQRT3_2 * abs(u)) < 0.9
    return _raised(hexagon & ~_disc(u, v, 0, 0, chance.between(0.3, 0.5)), u, v)


def drop(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """Round below, pointed above."""
    radius = chance.between(0.5, 0.65)
    tip = (v > -1) & (v < 0.3) & (abs(u) < (v + 1) / 1.3 * radius)
    return _raised(_disc(u, v, 0, 1 - radius, radius) | tip, u, v, 0.7)


def dome(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """Half of a disc."""
    return _raised(_disc(u, v, 0, 0.5, 1) & (v < chance.between(0.3, 0.5)), u, v, 0.6)


def tee(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """The letter T."""
    half = chance.between(0.15, 0.28)
    return _raised(_box(u, v, -0.9, 0.9, -0.9, 2 * half - 0.9) | _box(u, v, -half, half, -0.9, 0.95), u, v)


def angle(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """The letter L, or its mirror image."""
    half = chance.between(0.2, 0.34)
    u = -u if chance.happens(0.5) else u
    return _raised(_box(u, v, -0.7, 2 * half - 0.7, -1, 0.9) | _box(u, v, -0.7, 0.8, 0.9 - 2 * half, 0.9), u, v)


def horseshoe(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """The letter U."""
    inner = chance.between(0.4, 0.6)
    radius = np.sqrt(u * u + v * v)
    bow = (v < 0) & (radius < 0.9) & (radius > inner)
    return _raised(bow | ((v >= 0) & (v < 0.9) & (abs(u) < 0.9) & (abs(u) > inner)), u, v)


def bolt(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A flash of lightning."""
    middle = np.where(v < 0, -0.55 * (v + 0.4), -0.55 * (v - 0.4))
    return _raised((abs(u - middle) < chance.between(0.16, 0.3) * (1.3 - abs(v))) & (abs(v) < 1), u, v)


def bow(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A bow tie."""
    return _raised((abs(v) < 0.12 + chance.between(0.5, 0.8) * abs(u)) & (abs(u) < 1), u, v)


def fish(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A lens and a tail."""
    x = (u + 0.25) / 0.75
    body = abs(v) < chance.between(0.4, 0.6) * (1 - x * x)
    return _raised(body | ((u > 0.3) & (u < 1) & (abs(v) < 0.9 * (u - 0.22))), u, v, 0.6)


def flower(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """Six petals."""
    size, inside = chance.between(0.24, 0.34), _disc(u, v, 0, 0, 0.45)
    for x, y in ((1, 0), (HALF, SQRT3_2), (-HALF, SQRT3_2)):
        inside = inside | _disc(u, v, 0.64 * x, 0.64 * y, size) | _disc(u, v, -0.64 * x, -0.64 * y, size)
    return _raised(inside, u, v, 0.5)


def key(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A bow with a hole, a shaft, two teeth."""
    grip = _disc(u, v, -0.6, 0, 0.4) & ~_disc(u, v, -0.6, 0, 0.18)
    end = chance.between(0.7, 0.85)
    teeth = _box(u, v, end - 0.12, 0.99, 0, 0.45) | _box(u, v, 0.3, 0.52, 0, 0.4)
    return _raised(grip | _box(u, v, -0.3, 0.99, -0.13, 0.13) | teeth, u, v)


def fork(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """Three tines on a handle."""
    half = chance.between(0.09, 0.15)
    inside = _box(u, v, -0.55, 0.55, -0.1, 0.2) | _box(u, v, -half, half, -1, 1)
    return _raised(inside | ((abs(abs(u) - 0.5) < half) & (v > -1) & (v < 0.1)), u, v)


def ess(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """The letter S: two bows."""
    half = chance.between(0.11, 0.18)
    upper, lower = np.sqrt(u * u + (v + 0.42) * (v + 0.42)), np.sqrt(u * u + (v - 0.42) * (v - 0.42))
    inside = (abs(upper - 0.42) < half) & ((u < 0) | (v < -0.42))
    return _raised(inside | ((abs(lower - 0.42) < half) & ((u > 0) | (v > 0.42))), u, v)


def house(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """Walls and a gable."""
    eaves = chance.between(-0.3, 0.1)
    gable = (v > -1) & (v <= eaves) & (abs(u) < (v + 1) / (eaves + 1) * 0.95)
    return _raised(gable | _box(u, v, -0.7, 0.7, eaves, 0.9), u, v)


def mug(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A cup and its handle."""
    radius = np.sqrt((u - 0.4) * (u - 0.4) + v * v)
    handle = (abs(radius - 0.42) < chance.between(0.08, 0.14)) & (u > 0.4)
    return _raised(_box(u, v, -0.75, 0.42, -0.8, 0.8) | handle, u, v)


def mushroom(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A cap on a stem."""
    half = chance.between(0.15, 0.3)
    return _raised((_disc(u, v, 0, 0, 0.95) & (v < 0)) | _box(u, v, -half, half, -0.1, 0.9), u, v, 0.5)


def zigzag(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A thin broken line."""
    middle = chance.between(0.3, 0.6) * (wave(chance.between(0.8, 1.6) * u) - 0.5)
    return _raised((abs(v - middle) < chance.between(0.045, 0.08)) & (abs(u) < 1), u, v)


def frame(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """The rim of a square."""
    rim = np.maximum(abs(u), abs(v))
    return _raised((rim < 0.85) & (rim > chance.between(0.5, 0.68)), u, v)


def dumbbell(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """Two weights on a bar."""
    weight = chance.between(0.26, 0.38)
    inside = _disc(u, v, 0.62, 0, weight) | _disc(u, v, -0.62, 0, weight)
    return _raised(inside | _box(u, v, -0.6, 0.6, -0.12, 0.12), u, v, 0.5)


def nail(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A small head and shaft."""
    return _raised(_box(u, v, -1, -0.5, -0.7, 0.7) | _box(u, v, -0.6, 1, -0.32, 0.32), u, v)


def blob(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """An outline without a name: what it is made of tells its class."""
    wobble = 0.75 + 0.7 * value_noise(chance, len(u), 4)
    return _raised((u * u + v * v / chance.between(0.5, 1.0)) * wobble * wobble < 0.8, u, v)
