"""Regions that annotation tools write: rings of points, run lengths, small bitmaps. Each gives a bool mask."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from s4mim_jax.config.errors import InputError

# How far a point may lie beyond the border, in pixels and as a share of the side: tools round, and it is clipped.
SLACK_PIXELS, SLACK_SHARE = 1.0, 0.005


@dataclass(frozen=True)
class Rings:
    """Closed outlines, whose insides are united.

    Attributes:
      rings: float [N, 2] arrays of (x, y), N >= 3, in pixels of the image, (0, 0) its upper left corner; with
        `relative` as shares of width and height.
    """

    rings: tuple[np.ndarray, ...]
    relative: bool = False

    def mask(self, size: tuple[int, int], where: str) -> np.ndarray:
        """bool [H, W]; raises InputError where a point lies outside the image, naming `where`."""
        found = np.zeros(size, bool)
        for ring in self.rings:
            points = ring * np.array(size[::-1], float) if self.relative else ring
            found |= fill(_inside(points, size, where, self.relative), size)
        return found


@dataclass(frozen=True)
class Runs:
    """Run lengths that begin with a run outside, alternating.

    Attributes:
      counts: int [N]. size: (height, width) that they cover. by_column: down the columns (COCO), else along the rows.
      corner: (top, left) of that area in the image.
    """

    counts: np.ndarray
    size: tuple[int, int]
    by_column: bool
    corner: tuple[int, int] = (0, 0)

    def mask(self, size: tuple[int, int], where: str) -> np.ndarray:
        """bool [H, W]; raises InputError where the runs do not fill their area, or it is not in the image."""
        total, area = int(self.counts.sum()), self.size[0] * self.size[1]
        if total != area or (self.counts < 0).any():
            raise InputError(f'{where}: run lengths of {total} pixels for an area of {self.size[0]} x {self.size[1]} = '
                             f'{area} (height x width)\nvalid: run lengths that fill the area exactly')
        flat = np.repeat(np.arange(len(self.counts)) % 2 == 1, self.counts)
        part = flat.reshape(self.size[::-1]).T if self.by_column else flat.reshape(self.size)
        return _placed(part, self.corner, size, where)


@dataclass(frozen=True)
class Bitmap:
    """A picture of the region whose pixels above 0 belong to it; corner: (top, left) in the image."""

    png: bytes
    corner: tuple[int, int]

    def mask(self, size: tuple[int, int], where: str) -> np.ndarray:
        """bool [H, W]; raises InputError where the bitmap cannot be read or is not in the image."""
        try:
            part = np.asarray(Image.open(io.BytesIO(self.png)).convert('L')) > 0
        except (OSError, ValueError, SyntaxError) as error:
            raise InputError(f'{where}: its bitmap cannot be read ({error})') from None
        return _placed(part, self.corner, size, where)


@dataclass(frozen=True)
class Layer:
    """A mask of the whole image that is there already, bool [H, W]."""

    pixels: np.ndarray

    def mask(self, size: tuple[int, int], where: str) -> np.ndarray:
        """bool [H, W]; raises InputError where the mask has another size than the image."""
        return _placed(self.pixels, (0, 0), size, where, whole=True)


def ring(points: Sequence, where: str, least: int = 3) -> np.ndarray:
    """Points as float [N, 2].

    Args:
      points: pairs (x, y), or a flat list x1, y1, x2, y2, ...

    Raises:
      InputError: fewer than `least` points, an odd number of coordinates, or values that are not finite numbers.
    """
    try:
        values = np.asarray(points, float)
    except (TypeError, ValueError):
        raise InputError(f'{where}: {str(points)[:60]} are no coordinates\nvalid: pairs of numbers x, y') from None
    if values.ndim == 1 and values.size % 2 == 0:
        values = values.reshape(-1, 2)
    if values.ndim != 2 or values.shape[1] != 2:
        raise InputError(f'{where}: {values.size} coordinates, which are no pairs x, y\nvalid: x1, y1, x2, y2, ...')
    if not np.isfinite(values).all():
        raise InputError(f'{where}: a coordinate is not finite\nvalid: pairs of numbers x, y')
    if len(values) < least:
        raise InputError(f'{where}: {len(values)} point(s)\nvalid: an outline of at least {least} points')
    return values


def rectangle(left: float, top: float, width: float, height: float, degrees: float = 0.0) -> np.ndarray:
    """Corners, float [4, 2], turned clockwise about the upper left one."""
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    angle = np.deg2rad(degrees)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    return corners @ turn + (left, top)


def ellipse(x: float, y: float, rx: float, ry: float, degrees: float = 0.0, points: int = 96) -> np.ndarray:
    """Points on an ellipse about (x, y), float [points, 2], turned clockwise."""
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    own, angle = np.stack([rx * np.cos(angles), ry * np.sin(angles)], 1), np.deg2rad(degrees)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    return own @ turn + (x, y)


def fill(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixels whose centre lies inside a closed outline, by the even-odd rule (ours; exact for any outline).

    Args:
      points: float [N, 2], (x, y) in pixels. size: (H, W).

    Returns:
      bool [H, W].
    """
    height, width = size
    toggles = np.zeros((height, width + 1), np.int32)
    ends = np.roll(points, -1, axis=0)
    for (x0, y0), (x1, y1) in zip(points.tolist(), ends.tolist()):
        if y0 == y1:
            continue
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        # Centres y + 1/2 in [y0, y1): a corner on a centre belongs to one of its two sides.
        rows = np.arange(max(int(np.ceil(y0 - 0.5)), 0), min(int(np.ceil(y1 - 0.5)), height))
        crossing = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
        np.add.at(toggles, (rows, np.clip(np.ceil(crossing - 0.5), 0, width).astype(int)), 1)
    return np.cumsum(toggles[:, :width], axis=1) % 2 == 1


def _inside(points: np.ndarray, size, where: str, relative: bool) -> np.ndarray:
    limits = np.array(size[::-1], float)
    slack = np.maximum(SLACK_PIXELS, SLACK_SHARE * limits)
    wrong = np.flatnonzero(((points < -slack) | (points > limits + slack)).any(1))
    if len(wrong):
        shown = points[wrong[0]] / (limits if relative else 1.0)
        valid = 'x and y in 0..1' if relative else f'x in 0..{size[1]}, y in 0..{size[0]}'
        raise InputError(f'{where}: the point ({shown[0]:g}, {shown[1]:g}) lies outside the image of {size[0]} x '
                         f'{size[1]} (height x width)\nvalid: {valid}')
    return np.clip(points, 0, limits)


def _placed(part: np.ndarray, corner, size, where: str, whole: bool = False) -> np.ndarray:
    (top, left), (height, width) = corner, part.shape
    if top < 0 or left < 0 or top + height > size[0] or left + width > size[1] or (whole and part.shape != size):
        at = '' if whole else f' at row {top}, column {left}'
        raise InputError(f'{where}: a mask of {height} x {width}{at} in an image of {size[0]} x {size[1]} '
                         '(height x width)\nvalid: masks made for this image, at its own size')
    found = np.zeros(size, bool)
    found[top:top + height, left:left + width] = part
    return found
