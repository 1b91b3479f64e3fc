"""Pictures of predictions: a row an image, a column for input, label and every group, and the legend."""

import numpy as np
from matplotlib.patches import Patch

from s4mim_jax.reporting.figures import Picture, new_figure, plain, png, style
from s4mim_jax.reporting.predictions import Gallery

VOIDS = ((255, 255, 255), (128, 128, 128), (0, 0, 0), (255, 0, 255))  # what ignored pixels may look like
APART = 90  # sum over channels by which that must differ from every class
GROUPS = 5  # columns of predictions in a picture; further groups go to the next one
CELL = 1.9  # inches


def gallery_pictures(galleries: list[Gallery]) -> list[Picture]:
    """A picture for every few groups of every gallery."""
    pictures = []
    for gallery in galleries:
        for start in range(0, len(gallery.predictions), GROUPS):
            part = gallery.predictions[start:start + GROUPS]
            number = f'_{len(pictures) + 1}' if pictures else ''
            pictures.append(Picture(
                f'predictions{number}', f'Predictions: {gallery.dataset}, {gallery.split}',
                'Best checkpoint of one seed a group. Images evenly spaced over the split: '
                f'{", ".join(gallery.ids)}. Below each column: whose weights.', _draw(gallery, part)))
    return pictures


def _draw(gallery: Gallery, predictions) -> bytes:
    colors = np.full((256, 3), _void(gallery.palette), np.uint8)
    colors[:len(gallery.palette)] = gallery.palette
    columns = [('input', '', [_rgb(image) for image in gallery.images]),
               ('label', '', [colors[label] for label in gallery.labels])]
    columns += [(group.name, about, [colors[ids] for ids in found]) for group, about, found in predictions]
    aspect = float(np.median([image.shape[0] / image.shape[1] for image in gallery.images]))
    seen = np.unique(np.concatenate([np.unique(ids) for _, _, found in predictions for ids in found] +
                                    [np.unique(label) for label in gallery.labels]))
    handles = [Patch(facecolor=colors[i] / 255, edgecolor='#444444', linewidth=0.5,
                     label=plain(gallery.classes[i]) if i < len(gallery.classes) else 'ignored') for i in seen]
    longest = max(len(handle.get_label()) for handle in handles)
    width = CELL * len(columns)
    per_row = max(1, min(len(handles), int(width / (0.085 * longest + 0.5))))
    rows = len(gallery.images)
    with style():
        figure = new_figure(width, CELL * min(aspect, 2.0) * rows + 0.7 + 0.2 * -(-len(handles) // per_row))
        axes = figure.subplots(rows, len(columns), squeeze=False)
        for column, (name, about, pictures) in enumerate(columns):
            axes[0, column].set_title(plain(name, 26), fontsize=9)
            axes[-1, column].set_xlabel(plain(about, 36), fontsize=7)
            for row, picture in enumerate(pictures):
                axes[row, column].imshow(picture, interpolation='nearest' if column else None)
        for panel in axes.flat:
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
        figure.legend(handles=handles, loc='outside lower center', ncols=per_row, frameon=False, fontsize=8)
    return png(figure)


def _void(palette: np.ndarray) -> tuple[int, int, int]:
    """The first of VOIDS that no class comes near; CamVid's sky, for one, is the usual gray."""
    distances = [np.abs(palette.astype(int) - color).sum(-1).min() for color in VOIDS]
    return next((color for color, distance in zip(VOIDS, distances) if distance >= APART),
                VOIDS[int(np.argmax(distances))])


def _rgb(image: np.ndarray) -> np.ndarray:
    """As `views.as_rgb`, which would bring JAX."""
    return image[..., :3] if image.shape[-1] >= 3 else image[..., [0, 0, 0]]
