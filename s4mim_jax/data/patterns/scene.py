"""One image and its mask: figures told by their outline, in any texture, and patches told by their texture.

As in `shapes` most objects of a class have its usual hue, which several classes share: colour leads a network to a
few classes, and outline and texture must tell those apart.
Light, shadows, clutter and noise are those of `shapes`; figures, textures and classes are others. What a network
learns here serves as a start there (`configs/patterns.py`) and does not know its classes.
"""

import numpy as np

from s4mim_jax.data.patterns import figures, textures
from s4mim_jax.data.shapes.chance import Chance
from s4mim_jax.data.shapes.scene import ANY, FINE, Kind, clutter, develop, ground, pixels, place, shrink_labels

FIGURES = ('heart', 'crescent', 'cross', 'arrow', 'gear', 'nut', 'drop', 'dome', 'tee', 'angle', 'horseshoe', 'bolt',
           'bow', 'fish', 'flower', 'key', 'fork', 'ess', 'house', 'mug', 'mushroom', 'zigzag', 'frame', 'dumbbell',
           'nail')
TEXTURES = ('chevrons', 'scales', 'plaid', 'crosses', 'grain', 'lattice', 'triangles', 'weave', 'brushed', 'confetti',
            'arcs', 'dashes')
CLASSES = ('background', *FIGURES, *TEXTURES)
RADII = {'nail': (5.0, 9.0), 'zigzag': (26.0, 44.0)}  # pixels of the final image; others below
USUAL = (13.0, 28.0)
HUES = 9  # usual ones, each of some four classes
SECONDS = {'dark': 1, 'light': 1, 'any': 1}
SURFACES = {textures.gradient: 8, **{getattr(textures, name): 1 for name in TEXTURES}}
GROUNDS = {textures.gradient: 4, textures.brushed: 3, textures.grain: 3, textures.lattice: 1, textures.plaid: 1,
           textures.confetti: 1, textures.weave: 1}
FIGURE_SHARE = 0.7  # of the objects


def palette() -> tuple[tuple[int, int, int], ...]:
    """A colour a class: background black, others spread over the cube in steps that have no common factor."""
    return ((0, 0, 0), *((55 + 37 * i % 200, 55 + 91 * i % 200, 55 + 143 * i % 200) for i in range(1, len(CLASSES))))


def draw(split: int, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws example `index` of split number `split`.

    Returns:
      image uint8 [96, 96, 3], RGB, and mask uint8 [96, 96], class ids 0..37.
    """
    chance = Chance(split, index)
    y, x = pixels(FINE)
    light = chance.rotation()
    canvas, labels = ground(chance, x, y, GROUNDS), np.zeros((FINE, FINE), np.uint8)
    clutter(chance, canvas, x, y)
    for _ in range(chance.integer(4, 8)):
        if chance.happens(FIGURE_SHARE):
            name = FIGURES[chance.integer(0, len(FIGURES) - 1)]
            figure, surfaces = getattr(figures, name), SURFACES
        else:
            name = TEXTURES[chance.integer(0, len(TEXTURES) - 1)]
            figure, surfaces = figures.blob, {getattr(textures, name): 1}
        number = CLASSES.index(name)
        hues = {(number % HUES / HUES, 0.03): 5, ANY: 2}
        kind = Kind(figure, surfaces, hues, SECONDS, 1.0, RADII.get(name, USUAL))
        place(chance, canvas, labels, light, kind, number, shiny=chance.happens(0.2))
    return develop(chance, canvas, x, y), shrink_labels(labels)
