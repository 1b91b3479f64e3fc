"""What an export of an annotation tool holds, whatever its format: pictures with regions, or without."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.files.images import open_image, orientation
from s4mim_jax.data.label_formats.regions import Bitmap, Layer, Rings, Runs

BACKGROUND = 'background'
# Names that tools and people give to "nothing in particular", and to pixels that do not count.
BACKGROUND_NAMES = ('background', '_background_', '__background__', 'bg')
IGNORE_NAMES = ('__ignore__', '_ignore_', 'ignore', 'void')
# In what order regions are painted, where they overlap.
LARGER_FIRST = 'larger regions first, so that smaller ones stay visible'
FILE_ORDER = 'in the order of the file, later ones over earlier ones'
Z_ORDER = 'by z_order, then in the order of the file, later ones over earlier ones'
ONE_CLASS = 'none, a pixel has one class'  # of formats that hold masks


class Region(NamedTuple):
    """A region of one class. where: file and place in it, for messages. level: z_order."""

    label: str
    shape: Rings | Runs | Bitmap | Layer
    where: str
    level: int = 0


@dataclass(frozen=True)
class Picture:
    """An image with what was drawn on it.

    Attributes:
      id: path below the split without suffix. image: path of the file. split: 'train', 'val' or 'test'.
      size: (height, width) that the export records; None = that of the image file.
      regions: what was drawn; () = nothing, and the image counts as unlabelled.
      where: the annotation file and the entry, for messages. file: the annotation file or mask, '' without one.
      ready: of formats that hold masks: bytes of `file` -> class ids uint8 [H, W].
    """

    id: str
    image: str
    split: str
    size: tuple[int, int] | None = None
    regions: tuple[Region, ...] = ()
    where: str = ''
    file: str = ''
    ready: Callable[[bytes], np.ndarray] | None = None

    @property
    def labelled(self) -> bool:
        """Whether anything is drawn."""
        return bool(self.regions) or self.ready is not None


@dataclass(frozen=True)
class LabelSet:
    """An export.

    Attributes:
      format: its name for people. classes: C names, at the position of their id.
      pictures: all images, in order of split and id. order: LARGER_FIRST, FILE_ORDER, Z_ORDER or ONE_CLASS.
      unpainted: id of pixels on which nothing is drawn: 0 = background, IGNORE where there is no such class.
      colors: class name -> (r, g, b), where the export says.
      left_out: what of the export is no label here -> how often, such as 'line' shapes.
    """

    format: str
    classes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    order: str
    unpainted: int
    colors: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def class_list(names: Sequence[str], given: Sequence[str] | None) -> tuple[tuple[str, ...], int]:
    """Classes of an export, and the id of pixels on which nothing is drawn.

    Args:
      names: of the labels that occur, or that the export lists, in its order.
      given: of a classes.txt or labels.txt beside it, in order of id; None = there is none.

    Returns:
      with a list: that list; unpainted pixels are its background, or ignored where it has none.
      Without: background as class 0, then the names.
    """
    if given is not None:
        place = next((i for i, name in enumerate(given) if name.lower() in BACKGROUND_NAMES), None)
        return tuple(given), IGNORE if place is None else place
    others = [n for n in dict.fromkeys(names) if n.lower() not in (*BACKGROUND_NAMES, *IGNORE_NAMES)]
    return (BACKGROUND, *others), 0


def render(picture: Picture, labels: LabelSet, size: tuple[int, int]) -> np.ndarray:
    """Class ids of a picture on which something is drawn.

    Args:
      picture: of `labels`. size: (H, W) of the image file, upright.

    Returns:
      uint8 [H, W]: class ids, IGNORE where a label is named so.

    Raises:
      InputError: another size than the export records, coordinates outside, or runs of a wrong length.
    """
    ids = {name: number for number, name in enumerate(labels.classes)}
    found = np.full(size, labels.unpainted, np.uint8)
    layers = [(region, region.shape.mask(size, region.where)) for region in picture.regions]
    if labels.order == LARGER_FIRST:
        layers.sort(key=lambda layer: -int(layer[1].sum()))
    elif labels.order == Z_ORDER:
        layers.sort(key=lambda layer: layer[0].level)
    for region, mask in layers:
        found[mask] = label_id(region, ids, labels)
    return found


def label_id(region: Region, ids: dict[str, int], labels: LabelSet) -> int:
    """The id of a region's class; raises InputError for a label that the classes do not list."""
    if region.label in ids:
        return ids[region.label]
    if region.label.lower() in BACKGROUND_NAMES:
        return labels.unpainted
    if region.label.lower() in IGNORE_NAMES:
        return IGNORE
    raise InputError(f'{region.where}: label {region.label!r} is not among the classes\n'
                     f'valid: {", ".join(labels.classes)}')


def upright_size(picture: Picture, data: bytes) -> tuple[int, int]:
    """(H, W) of an image after its EXIF turn, checked against what the export records.

    Raises:
      InputError: no image, or another size; EXIF is named where it is the cause.
    """
    image = open_image(data, picture.image)
    turned = orientation(image)
    size = image.size if turned >= 5 else image.size[::-1]
    if picture.size is None or tuple(picture.size) == tuple(size):
        return size
    why = ''
    if turned >= 5 and tuple(picture.size) == tuple(image.size[::-1]):
        why = f' before its EXIF turn (orientation {turned}); save the images upright, or draw on upright ones'
    raise InputError(f'{picture.where}: recorded for an image of {picture.size[0]} x {picture.size[1]}, but '
                     f'{picture.image} is {size[0]} x {size[1]} (height x width)\n'
                     f'valid: labels drawn on this very image{why and "; that is its size" + why}')


def require(value, kind, where: str, what: str):
    """`value` if it is of that type; else an InputError that says what is missing where."""
    if not isinstance(value, kind) or (isinstance(value, bool) and bool not in np.atleast_1d(kind)):
        raise InputError(f'{where}: {what} is {str(value)[:40]!r}\nvalid: an export of that tool, unchanged')
    return value
