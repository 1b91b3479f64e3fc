"""Random numbers and smooth fields that are the same on every machine and with every NumPy.

Bit streams of NumPy's Philox are fixed for good (its `Generator` methods are not), and elementwise
+ - * / sqrt and floor are exact IEEE operations. Sines, powers, sums of floats and matrix products
are not used in drawing: their last bits depend on the processor.
"""

import numpy as np


class Chance:
    """Draws for one image, from a key of two integers (split, index)."""

    def __init__(self, split: int, index: int):
        self._bits = np.random.Philox(key=np.array([split, index], np.uint64))

    def units(self, *shape: int) -> np.ndarray:
        """float64 of the given shape, uniform in [0, 1) in steps of 2**-53."""
        count = int(np.prod(shape, dtype=np.int64))
        return (self._bits.random_raw(count) >> np.uint64(11)).reshape(shape) * 2.0**-53

    def between(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return low + (high - low) * float(self.units(1)[0])

    def integer(self, low: int, high: int) -> int:
        """One of low .. high, both included."""
        return low + int(self.units(1)[0] * (high - low + 1))

    def happens(self, probability: float) -> bool:
        """True in this share of the calls."""
        return float(self.units(1)[0]) < probability

    def pick(self, weights: dict):
        """A key of `weights`, as often as its share of the sum."""
        left = self.between(0.0, float(sum(weights.values())))
        for key, weight in weights.items():
            left -= weight
            if left < 0:
                return key
        return key

    def rotation(self) -> tuple[float, float]:
        """(cos, sin) of an angle all round, nearly uniform, by the half-angle formula."""
        t = self.between(-0.41421356, 0.41421356)  # tan of half of -45 .. 45 degrees
        cos, sin = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
        return ((cos, sin), (-sin, cos), (-cos, -sin), (sin, -cos))[self.integer(0, 3)]


def value_noise(chance: Chance, size: int, cells: int, *, rows: int | None = None) -> np.ndarray:
    """Smooth noise: random values on a grid, smoothstep in between.

    Args:
      size: height and width in pixels.
      cells, rows: grid cells across and down (default: as many down as across).

    Returns:
      float32 [size, size] in 0 .. 1.
    """
    rows = cells if rows is None else rows
    grid = chance.units(rows + 1, cells + 1).astype(np.float32)
    (y, fy), (x, fx) = _cell(size, rows), _cell(size, cells)
    fy = fy[:, None]
    top = grid[y][:, x] * (1 - fx) + grid[y][:, x + 1] * fx
    bottom = grid[y + 1][:, x] * (1 - fx) + grid[y + 1][:, x + 1] * fx
    return top * (1 - fy) + bottom * fy


def _cell(size: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    position = (np.arange(size) + 0.5) * cells / size
    index = np.floor(position).astype(np.int64)
    fraction = (position - index).astype(np.float32)
    return index, fraction * fraction * (3 - 2 * fraction)


def wave(x: np.ndarray) -> np.ndarray:
    """Triangle wave of period 1 between 0 (at whole numbers) and 1 (at halves)."""
    return 1 - 2 * abs(x - np.floor(x) - 0.5)


def step(x: np.ndarray, edge: float, softness: float) -> np.ndarray:
    """0 below edge - softness / 2, 1 above edge + softness / 2, a ramp in between."""
    return np.clip((x - edge) / softness + 0.5, 0.0, 1.0)


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    """Colour float32 [3] in 0..1; hue wraps at 1."""
    offsets = np.array([0.0, 2 / 3, 1 / 3])
    ramp = np.clip(abs((hue + offsets - np.floor(hue + offsets)) * 6 - 3) - 1, 0.0, 1.0)
    return (value * (1 - saturation + saturation * ramp)).astype(np.float32)
