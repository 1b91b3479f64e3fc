"""One image and its mask: ground, clutter, objects that cover each other, light, noise.

As in photographs, most objects of a class have its usual colours, and a few labels teach those;
the others can be any colour, and then shape and texture tell. Textures are shared between classes,
size, turn and light vary, and the ground may be tiled or striped itself.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from s4mim_jax.data.shapes import figures, textures
from s4mim_jax.data.shapes.chance import Chance, hsv, step, value_noise, wave

SIZE = 96  # height and width of an image
FINE = 2 * SIZE  # drawn at twice the size, then averaged

CLASSES = ('background', 'ball', 'ring', 'brick', 'crate', 'leaf', 'star', 'cone', 'wire', 'bug')
PALETTE = ((0, 0, 0), (230, 60, 60), (250, 150, 40), (150, 85, 45), (250, 225, 70), (60, 180, 75),
           (70, 200, 240), (60, 90, 220), (235, 235, 235), (240, 50, 230))


@dataclass(frozen=True)
class Kind:
    """How objects of a class are drawn. Hues: (centre, spread) -> weight; spread 0.5 = any."""

    figure: Callable  # of `figures`
    patterns: dict  # of `textures` -> weight
    hues: dict
    seconds: dict  # 'dark', 'light' or 'any' -> weight: the pattern's second colour
    frequency: float  # relative to the other kinds
    radius: tuple[float, float]  # pixels of the final image


ANY = (0.0, 0.5)
RED, TAN, YELLOW, GREEN, CYAN, BLUE, PINK = (
    (0.0, 0.03), (0.075, 0.025), (0.15, 0.025), (0.31, 0.06), (0.47, 0.03), (0.61, 0.05), (0.87, 0.05))
KINDS = {
    'ball': Kind(figures.ball, {textures.sectors: 4, textures.spots: 2, textures.plain: 1},
                 {PINK: 7, BLUE: 1, ANY: 1}, {'any': 2, 'dark': 2, 'light': 1}, 1.0, (13.0, 24.0)),
    'ring': Kind(figures.ring, {textures.sectors: 4, textures.plain: 1, textures.stripes: 1},
                 {BLUE: 7, RED: 1, ANY: 1}, {'light': 5, 'any': 1}, 1.0, (15.0, 27.0)),
    'brick': Kind(figures.block, {textures.bricks: 1}, {RED: 7, TAN: 1, ANY: 1},
                  {'light': 5, 'dark': 1}, 1.0, (16.0, 31.0)),
    'crate': Kind(figures.crate, {textures.planks: 4, textures.checks: 1}, {TAN: 7, BLUE: 1, ANY: 1},
                  {'dark': 5, 'any': 1}, 1.0, (14.0, 25.0)),
    'leaf': Kind(figures.leaf, {textures.veins: 5, textures.mottled: 1}, {GREEN: 7, RED: 1, ANY: 1},
                 {'light': 3, 'dark': 2}, 1.2, (16.0, 30.0)),
    'star': Kind(figures.star, {textures.plain: 3, textures.mottled: 1, textures.rings: 1},
                 {YELLOW: 7, PINK: 1, ANY: 1}, {'dark': 4, 'any': 1}, 1.1, (15.0, 28.0)),
    'cone': Kind(figures.cone, {textures.bands: 6, textures.plain: 1}, {CYAN: 7, TAN: 1, ANY: 1},
                 {'light': 5, 'any': 1}, 1.2, (15.0, 29.0)),
}
BUG = Kind(figures.bug, {textures.plain: 2, textures.spots: 1}, {(0.8, 0.05): 4, RED: 2, ANY: 1},
           {'dark': 1}, 0.0, (4.5, 7.0))
GROUNDS = {textures.mottled: 4, textures.stripes: 1, textures.bricks: 1, textures.checks: 0.7, textures.plain: 1}
BUG_SHARE = 0.18  # of the images
WIRE_SHARE = 0.42


def draw(split: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws example `index` of split number `split`.

    Returns:
      image uint8 [96, 96, 3], RGB, and mask uint8 [96, 96], class ids 0..9.
    """
    chance = Chance(split, index)
    y, x = pixels(FINE)
    light = chance.rotation()
    canvas = ground(chance, x, y, GROUNDS)
    labels = np.zeros((FINE, FINE), np.uint8)
    clutter(chance, canvas, x, y)

    weights = {name: kind.frequency for name, kind in KINDS.items()}
    layers = [chance.pick(weights) for _ in range(chance.integer(3, 6))]
    if chance.happens(WIRE_SHARE):
        layers += ['wire'] * chance.integer(1, 3)
    if chance.happens(BUG_SHARE):
        layers += ['bug'] * chance.integer(1, 2)
    order = np.argsort(chance.units(len(layers)), kind='stable')  # who covers whom
    for name in (layers[i] for i in order):
        if name == 'wire':
            _wire(chance, canvas, labels, x, y)
        else:
            place(chance, canvas, labels, light, KINDS.get(name, BUG), CLASSES.index(name), upright=name == 'cone',
                  shiny=name in ('ball', 'ring', 'bug'), lifted=0.3 if name == 'bug' else 0.18)
    return develop(chance, canvas, x, y), shrink_labels(labels)


def _color(chance: Chance, hues: dict, value=(0.5, 1.0), saturation=(0.5, 1.0)):
    center, spread = chance.pick(hues)
    return hsv(center + chance.between(-spread, spread), chance.between(*saturation),
               chance.between(*value))


def _mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    return first + (second - first) * share[:, :, None]


def ground(chance, x, y, patterns):
    """Two regions with a wavy border, each with one of the patterns -> weight."""
    scale = FINE / 5
    border = chance.between(0.2, 0.8) * FINE + (value_noise(chance, FINE, 5) - 0.5) * 60
    cos, sin = chance.rotation()
    along = (x - FINE / 2) * cos + (y - FINE / 2) * sin + FINE / 2
    regions = []
    for _ in range(2):
        first = _color(chance, {ANY: 1}, (0.25, 0.85), (0.03, 0.35))
        second = first * chance.between(0.55, 0.9) + chance.between(0.0, 0.12)
        pattern = chance.pick(patterns)
        cos, sin = chance.rotation()
        u, v = (x * cos + y * sin) / scale, (y * cos - x * sin) / scale
        regions.append(_mix(first, second, pattern(u, v, chance) * chance.between(0.3, 1.0)))
    canvas = _mix(*regions, step(along, border, 6.0))
    grain = 0.5 * value_noise(chance, FINE, 48) + 0.5 * value_noise(chance, FINE, 20)
    return canvas * (0.75 + 0.5 * grain)[:, :, None]


def clutter(chance, canvas, x, y):
    """Stains, pebbles and cracks that belong to the background."""
    for _ in range(chance.integer(2, 9)):
        cos, sin = chance.rotation()
        dx, dy = x - chance.between(0, FINE), y - chance.between(0, FINE)
        u, v = dx * cos + dy * sin, dy * cos - dx * sin
        radius = chance.between(3.0, 22.0)
        if chance.happens(0.35):  # a crack: jagged, short, faint
            jag = (value_noise(chance, FINE, 24) - 0.5) * 14
            share = (1 - step(abs(v + jag), 1.6, 1.5)) * (abs(u) < 2.2 * radius)
        else:
            wobble = 0.6 + 0.8 * value_noise(chance, FINE, 9)
            share = 1 - step(np.sqrt(u * u + 2.2 * v * v) * wobble, radius, 5.0)
        tint = _color(chance, {ANY: 1}, (0.1, 0.9), (0.0, 0.5))
        canvas[:] = _mix(canvas, tint, share * chance.between(0.2, 0.6))


def place(chance, canvas, labels, light, kind, number, *, upright=False, shiny=False, lifted=0.18):
    """Draws an object of class `number` over canvas and labels: mostly upright, with a highlight now and then,
    its shadow so many radii away."""
    radius = 2 * chance.between(*kind.radius)
    cx, cy = chance.integer(0, FINE), chance.integer(0, FINE)
    cos, sin = chance.rotation()
    if upright and chance.happens(0.7):
        cos, sin = 1.0, chance.between(-0.25, 0.25)
    # Drawn in a square window around the centre; what leaves the canvas is cut off at the end.
    side = int(1.6 * radius)
    y, x = pixels(2 * side)
    x, y = x - side, y - side
    u, v = (x * cos + y * sin) / radius, (y * cos - x * sin) / radius
    inside, slope_u, slope_v = kind.figure(u, v, chance)

    away_u, away_v = x / radius - lifted * light[0], y / radius - lifted * light[1]
    shadow = 1 - step(np.sqrt(away_u * away_u + away_v * away_v), 0.95, 0.5)
    darker = 1 - chance.between(0.15, 0.45) * shadow

    first = _color(chance, kind.hues)
    tone = chance.pick(kind.seconds)
    second = (first * chance.between(0.25, 0.5) if tone == 'dark'
              else first + (1 - first) * chance.between(0.35, 0.6) if tone == 'light'
              else _color(chance, {ANY: 1}, (0.1, 1.0), (0.2, 1.0)))
    pattern = chance.pick(kind.patterns)
    surface = _mix(first, second, pattern(u, v, chance))

    # The light's direction in the object's own turn; slopes facing away from it are darker.
    away = slope_u * (light[0] * cos + light[1] * sin) + slope_v * (light[1] * cos - light[0] * sin)
    relief = (0.95 - chance.between(0.25, 0.55) * away) * (0.85 + 0.3 * value_noise(chance, 2 * side, 30))
    surface = surface * relief[:, :, None]
    if shiny and chance.happens(0.6):  # a highlight
        surface = _mix(surface, np.ones(3, np.float32), step(-away, 0.62, 0.5) * chance.between(0.2, 0.6))

    rows, columns = _overlap(cy - side, 2 * side), _overlap(cx - side, 2 * side)
    window = np.ix_(rows[0], columns[0])
    inside = inside[window]
    part = canvas[rows[1], columns[1]]  # a view: writes go to the canvas
    part *= darker[window][:, :, None]
    part[inside] = surface[window][inside]
    labels[rows[1], columns[1]][inside] = number


def pixels(size):
    centers = np.arange(size, dtype=np.float32) + 0.5
    return np.meshgrid(centers, centers, indexing='ij')


def _overlap(start, length):
    """Indices in a window at `start` that fall on the canvas, and the slice of the canvas."""
    low, high = max(start, 0), min(start + length, FINE)
    return np.arange(low - start, high - start), slice(low, high)


def _wire(chance, canvas, labels, x, y):
    """A line from rim to rim, straight like a pole or sagging like a cable."""
    cos, sin = chance.rotation()
    dx, dy = x - chance.between(0.15, 0.85) * FINE, y - chance.between(0.15, 0.85) * FINE
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    if chance.happens(0.6):
        v = v + chance.between(-0.004, 0.004) * u * u
    half = chance.between(1.8, 4.0)
    inside = abs(v) < half
    if chance.happens(0.35):  # ends somewhere
        inside &= u > chance.between(-0.4, 0.1) * FINE
    first = (_color(chance, {ANY: 1}, (0.02, 0.3), (0.0, 0.6)) if chance.happens(0.5)
             else _color(chance, {ANY: 1}, (0.5, 1.0), (0.0, 0.8)))
    twist = wave(u / chance.between(7.0, 14.0) + v / 8) * chance.between(0.0, 0.6)
    surface = _mix(first, first * 0.4 + 0.1, twist) * (1 - 0.3 * v / half)[:, :, None]
    canvas[inside] = surface[inside]
    labels[inside] = CLASSES.index('wire')


def develop(chance, canvas, x, y):
    """Light across the scene, colour cast, averaging to the final size, sensor noise, 8 bits."""
    cos, sin = chance.rotation()
    slant = ((x - FINE / 2) * cos + (y - FINE / 2) * sin) / FINE
    canvas = canvas * (1 + chance.between(0.0, 0.5) * slant)[:, :, None]
    canvas = canvas * (chance.between(0.75, 1.12) * (1 + 0.16 * (chance.units(3) - 0.5))).astype(np.float32)
    small = (canvas[::2, ::2] + canvas[::2, 1::2] + canvas[1::2, ::2] + canvas[1::2, 1::2]) / 4
    noise = chance.units(SIZE, SIZE, 3) + chance.units(SIZE, SIZE, 3) - 1  # triangular
    small = small + chance.between(0.02, 0.07) * noise
    return np.floor(np.clip(small, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)


def shrink_labels(labels):
    """The most frequent of each 2x2 labels; of equals, the first."""
    four = np.stack([labels[::2, ::2], labels[::2, 1::2], labels[1::2, ::2], labels[1::2, 1::2]])
    votes = (four[:, None] == four[None]).sum(1)
    return np.take_along_axis(four, votes.argmax(0)[None], 0)[0]
