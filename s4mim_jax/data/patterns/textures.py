"""Surface patterns, none of which `shapes` has: as there, the share of a second colour per pixel, 0 .. 1."""

import numpy as np

from s4mim_jax.data.patterns.figures import HALF, SQRT3_2
from s4mim_jax.data.shapes.chance import Chance, step, value_noise, wave

RANDOM = 24  # side of the table of random cells


def _cells(u, v, chance, low, high, shifted=False):
    """Scaled coordinates of cells: (column, row, x and y within the cell, 0 .. 1)."""
    scale = chance.between(low, high)
    y = scale * v + chance.between(0, 1)
    row = np.floor(y)
    x = scale * u + chance.between(0, 1) + (0.5 * (row - 2 * np.floor(row / 2)) if shifted else 0.0)
    column = np.floor(x)
    return column, row, x - column, y - row


def _look_up(table, column, row):
    return table[row.astype(np.int64) % RANDOM, column.astype(np.int64) % RANDOM]


def gradient(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """From one colour to the other."""
    cos, sin = chance.rotation()
    return np.clip(0.5 + 0.5 * (u * cos + v * sin), 0.0, 1.0)


def chevrons(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Rows of a broken line."""
    bent = v + chance.between(0.3, 0.6) * wave(chance.between(0.8, 1.6) * u)
    return step(wave(chance.between(1.4, 2.6) * bent + chance.between(0, 1)), chance.between(0.4, 0.6), 0.12)


def scales(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Arcs in shifted rows."""
    _, _, x, y = _cells(u, v, chance, 1.8, 3.0, shifted=True)
    distance = np.sqrt((x - 0.5) * (x - 0.5) + y * y)
    return 1 - step(abs(distance - 0.5), chance.between(0.08, 0.16), 0.08)


def plaid(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Bars in both directions that show through each other."""
    edge = chance.between(0.35, 0.6)
    one, two = (step(wave(chance.between(1.0, 2.2) * w + chance.between(0, 1)), edge, 0.1) for w in (u, v))
    return 0.5 * one + 0.5 * two


def crosses(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Plus signs in rows."""
    _, _, x, y = _cells(u, v, chance, 1.5, 2.6)
    x, y, half = abs(x - 0.5), abs(y - 0.5), chance.between(0.09, 0.15)
    return (((x < half) & (y < 0.36)) | ((y < half) & (x < 0.36))).astype(np.float32)


def grain(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Contour lines of a smooth field, as in wood or marble."""
    field = value_noise(chance, len(u), chance.integer(3, 7))
    return step(wave(chance.between(3.0, 5.0) * field), chance.between(0.4, 0.6), 0.25)


def lattice(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Lines that cross at a slant."""
    scale, width = chance.between(1.0, 1.8), chance.between(0.14, 0.26)
    slant = chance.between(0.7, 1.3)
    return np.maximum(*(1 - step(wave(scale * (u + sign * slant * v)), width, 0.1) for sign in (1, -1)))


def triangles(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Every second triangle of a tiling."""
    scale = chance.between(1.7, 2.8)
    up, left, right = v, HALF * v + SQRT3_2 * u, HALF * v - SQRT3_2 * u
    count = np.floor(scale * up) + np.floor(scale * left) + np.floor(scale * right)
    return count - 2 * np.floor(count / 2)


def weave(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """A basket: strands across and along by turns."""
    column, row, x, y = _cells(u, v, chance, 1.3, 2.2)
    turn = column + row
    across = (turn - 2 * np.floor(turn / 2)) > 0
    return step(wave(3 * np.where(across, x, y)), 0.5, 0.3)


def brushed(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Fine streaks in one direction."""
    size, fine = len(u), chance.integer(30, 50)
    field = value_noise(chance, size, 4, rows=fine) if chance.happens(0.5) else value_noise(chance, size, fine, rows=4)
    return step(field, 0.5, 0.4)


def confetti(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Squares at random."""
    column, row, _, _ = _cells(u, v, chance, 3.5, 6.0)
    return (_look_up(chance.units(RANDOM, RANDOM), column, row) < chance.between(0.3, 0.5)).astype(np.float32)


def arcs(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Quarter circles that join to winding lines (Truchet's tiles)."""
    column, row, x, y = _cells(u, v, chance, 1.8, 3.2)
    x = np.where(_look_up(chance.units(RANDOM, RANDOM), column, row) < 0.5, x, 1 - x)
    near, far = np.sqrt(x * x + y * y), np.sqrt((1 - x) * (1 - x) + (1 - y) * (1 - y))
    return 1 - step(np.minimum(abs(near - 0.5), abs(far - 0.5)), chance.between(0.1, 0.16), 0.08)


def dashes(u: np.ndarray, v: np.ndarray, chance: Chance) -> np.ndarray:
    """Short strokes in shifted rows."""
    _, _, x, y = _cells(u, v, chance, 1.8, 3.0, shifted=True)
    return ((abs(x - 0.5) < chance.between(0.25, 0.36)) & (abs(y - 0.5) < 0.17)).astype(np.float32)
