"""S4MC in plain NumPy, written from the formulas: what the tests of the selection compare with."""

import itertools
import math

import numpy as np


def naive_margin(p):
    """Largest minus second largest along the last axis."""
    top = np.sort(p, -1)
    return top[..., -1] - top[..., -2]


def bilinear(x, size, align_corners=False):
    """[B, h, w, C] -> [B, H, W, C], line by line."""
    for axis, target in zip((1, 2), size):
        source = x.shape[axis]
        at = (np.linspace(0, source - 1, target) if align_corners
              else (np.arange(target) + 0.5) * source / target - 0.5)
        x = np.apply_along_axis(lambda line: np.interp(at, np.arange(source), line), axis, x)
    return x


def lower_quantile(values, alpha):
    """Of n sorted values the one at floor(alpha (n - 1)), in float32 as the package documents."""
    return np.sort(values)[int(np.floor(np.float32(alpha) * np.float32(len(values) - 1)))]


def naive_union(p, valid, window, connectivity, neighbors, decay, coherence):
    """One image, pixel by pixel and class by class in float64: p [H, W, C] -> float64 [H, W, C]."""
    height, width, classes = p.shape
    reach, p = window // 2, p.astype(np.float64).tolist()
    around = [(dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)]
    around.remove((0, 0))
    if connectivity == 4:
        around = [(dy, dx) for dy, dx in around if abs(dy) + abs(dx) <= reach]
    weight = [1.0 if decay is None else math.exp(-decay * (abs(dy) + abs(dx))) for dy, dx in around]
    out = np.zeros((height, width, classes))
    for i, j, c in itertools.product(range(height), range(width), range(classes)):
        support = []
        for (dy, dx), b in zip(around, weight):
            y, x = i + dy, j + dx
            there = 0 <= y < height and 0 <= x < width and valid[y][x]
            q = p[y][x][c] if there else 0.0
            support.append((b * q, q, b))
        support.sort(reverse=True)
        score = p[i][j][c]
        for _, q, b in support[:neighbors]:
            joint = score * (q if coherence is None else max(q, coherence[c]))
            score = score + b * (q - joint)
        out[i, j, c] = score
    return out
