"""Outlines and relief of the objects, in their own coordinates u, v.

Each function returns `inside` bool [S, S] and the slope of the surface towards u and v (float,
about -1 .. 1), from which the scene's light makes shading.
"""

import numpy as np

from s4mim_jax.data.shapes.chance import Chance, wave

Relief = tuple[np.ndarray, np.ndarray, np.ndarray]

# (cos, sin) of 72 and 36 degrees, for a star's five points.
_TURN, _HALF = (0.30901699437494745, 0.9510565162951535), (0.8090169943749475, 0.5877852522924731)


def ball(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A sphere."""
    return u * u + v * v < 1, u, v


def ring(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A torus seen from a little aside."""
    v = v * chance.between(1.0, 1.7)
    radius = np.sqrt(u * u + v * v) + 1e-9
    inner = chance.between(0.42, 0.6)
    across = (radius - (1 + inner) / 2) / ((1 - inner) / 2)
    return abs(across) < 1, across * u / radius, across * v / radius


def block(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A slab, wider than high, at times with a sheared side."""
    v = v / chance.between(0.5, 0.75)
    u = u + chance.between(-0.25, 0.25) * v
    return (abs(u) < 1) & (abs(v) < 1), 0.25 * u, 0.25 * v


def crate(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A box from above, nearly square, a little sheared."""
    u = u / chance.between(0.75, 0.95) + chance.between(-0.2, 0.2) * v
    v = v / chance.between(0.75, 0.95)
    return (abs(u) < 1) & (abs(v) < 1), 0.25 * v, -0.25 * u


def leaf(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """Pointed at both ends, bent, with a wavy rim now and then."""
    v = v + chance.between(-0.35, 0.35) * (u * u - 0.4)
    half = chance.between(0.38, 0.6) * (1 - u * u)
    if chance.happens(0.4):
        half = half - 0.1 * wave(chance.between(3.0, 5.0) * u)
    return abs(v) < half, 0.3 * u, v * 0.9


def star(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """Five points; the inner radius varies from thin rays to a fat star. Faceted."""
    depth = chance.between(0.38, 0.62)
    x, y = u, abs(v)
    for _ in range(2):  # fold the plane into one tenth of the turn
        mirrored = x * _HALF[1] - y * _HALF[0] < 0
        x, y = (np.where(mirrored, x * _TURN[0] + y * _TURN[1], x),
                np.where(mirrored, abs(x * _TURN[1] - y * _TURN[0]), y))
    px, py = depth * _HALF[0], depth * _HALF[1]  # the notch between two points
    edge = (1 - px) * y - (x - 1) * -py
    return edge < 0, 0.5 * np.sign(u) * (x < 0.7), 0.5 * np.sign(v)


def cone(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """A triangle that stands on a foot; v points down."""
    top = chance.between(0.04, 0.2)
    half = top + (v + 1) * (0.62 - top) / 1.75
    body = (v > -1) & (v < 0.75) & (abs(u) < half)
    foot = (v >= 0.75) & (v < 1) & (abs(u) < chance.between(0.7, 0.9))
    return body | foot, np.where(foot, 0.0, u / (half + 1e-9) * 0.8), np.where(foot, 0.5, 0.0)


def bug(u: np.ndarray, v: np.ndarray, chance: Chance) -> Relief:
    """An oval body and a head, no legs: too small to show any."""
    body = (u * u + v * v / 0.45) < 0.7
    head = (u - 0.85) * (u - 0.85) + v * v < 0.09
    return body | head, u, v * 1.2
