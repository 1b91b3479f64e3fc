"""Class maps as outlines: the way back to annotation tools. Exact along pixel edges, then simplified if asked for."""

import numpy as np

SMALLEST = 16  # pixels; smaller regions are left out where outlines are simplified


def outlines(ids: np.ndarray, unpainted: int, tolerance: float = 0.0) -> list[tuple[int, list[tuple[float, float]]]]:
    """Outlines that give the map again, painted in their order over `unpainted` (ours).

    A region is a set of pixels of one class that touch along edges; its outline is the outer one, without holes. What
    lies in a hole is smaller, so it comes later. Regions of `unpainted` are needed in holes only.

    Args:
      ids: uint8 [H, W]. unpainted: id of pixels on which nothing is painted.
      tolerance: how far, in pixels, an outline may lie from the exact one; 0 = exact, as `regions.fill` paints.

    Returns:
      (id, [(x, y), ...]) in pixels, larger outlines first.
    """
    height, width = ids.shape
    found = []
    for value in np.unique(ids).tolist():
        for points in _outer_loops(ids == value):
            xs, ys = points.T
            border = xs.min() == 0 or ys.min() == 0 or xs.max() == width or ys.max() == height
            area = _area(points)
            if area <= 0 or (value == unpainted and border) or (tolerance > 0 and area < SMALLEST):
                continue
            points = simplified(points, tolerance) if tolerance > 0 else points
            if len(points) >= 3:
                found.append((area, value, [(float(x), float(y)) for x, y in points]))
    found.sort(key=lambda entry: -entry[0])
    return [(value, points) for _, value, points in found]


def _area(points: np.ndarray) -> float:
    """Positive where the inside lies to the right (y points down)."""
    x, y = points.T.astype(float)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def _outer_loops(mask: np.ndarray) -> list[np.ndarray]:
    """Corners int [N, 2], (x, y), of all loops along pixel edges, the inside to the right; holes have area < 0."""
    inside = np.pad(mask, 1)
    steps = {}  # corner -> directions in which edges leave it: 0 east, 1 south, 2 west, 3 north
    for direction, (dy, dx, oy, ox) in enumerate(((-1, 0, 0, 0), (0, 1, 0, 1), (1, 0, 1, 1), (0, -1, 1, 0))):
        edge = mask & ~inside[1 + dy:1 + dy + mask.shape[0], 1 + dx:1 + dx + mask.shape[1]]
        for y, x in np.argwhere(edge).tolist():
            steps.setdefault((x + ox, y + oy), []).append(direction)
    loops = []
    while steps:
        start = corner = next(iter(steps))
        direction, points = steps[start][0], []
        while True:
            leaving = steps.get(corner)
            if leaving is None:
                break
            # Where two regions touch at a corner, turn right: the loop stays with its own.
            turn = next((d for d in ((direction + 1) % 4, direction, (direction + 3) % 4) if d in leaving), leaving[0])
            leaving.remove(turn)
            if not leaving:
                del steps[corner]
            if turn != direction or not points:
                points.append(corner)
            direction = turn
            corner = (corner[0] + (1, 0, -1, 0)[turn], corner[1] + (0, 1, 0, -1)[turn])
            if corner == start and (start not in steps or (turn + 1) % 4 not in steps[start]):
                break
        loops.append(np.array(points))
    return loops


def simplified(points: np.ndarray, tolerance: float) -> np.ndarray:
    """Douglas and Peucker (1973) on a closed outline: corners that lie within `tolerance` of a chord are left out.

    Args:
      points: [N, 2]. tolerance: pixels.
    """
    first = 0
    far = int(np.argmax(((points - points[first]) ** 2).sum(1)))
    closed = np.concatenate([points, points[:1]]).astype(float)
    keep = np.zeros(len(closed), bool)
    keep[[first, far, len(closed) - 1]] = True
    waiting = [(first, far), (far, len(closed) - 1)]
    while waiting:
        start, end = waiting.pop()
        if end - start < 2:
            continue
        chord, offset = closed[end] - closed[start], closed[start + 1:end] - closed[start]
        length = np.hypot(*chord)
        across = np.abs(chord[0] * offset[:, 1] - chord[1] * offset[:, 0])
        distance = across / length if length else np.hypot(*offset.T)
        worst = int(np.argmax(distance))
        if distance[worst] > tolerance:
            middle = start + 1 + worst
            keep[middle] = True
            waiting += [(start, middle), (middle, end)]
    return points[keep[:-1]]
