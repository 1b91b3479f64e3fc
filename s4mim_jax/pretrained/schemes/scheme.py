"""What a naming scheme is: how it is recognised, and which array of a file becomes which leaf."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

Arrays = Mapping[str, np.ndarray]
Shape = tuple[int, ...]

# PyTorch's step counters of BatchNorm: in every file of the trade, and of no use in evaluation.
COUNTERS = r'(^|\.)num_batches_tracked$'
# Our leaf -> PyTorch's name of the same parameter or buffer.
LEAVES = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias', 'mean': 'running_mean', 'var': 'running_var'}


class Layout(NamedTuple):
    """How an array of a file becomes a leaf.

    ours: (array, shape of our leaf) -> array in our layout. theirs: shape of our leaf -> shape that
    the file should have. changed: (array, shape of our leaf) -> what was done beyond reordering, or ''.
    """

    ours: Callable[[np.ndarray, Shape], np.ndarray]
    theirs: Callable[[Shape], Shape]
    changed: Callable[[np.ndarray, Shape], str] = lambda array, shape: ''


def _reordered(order: tuple[int, ...]) -> Layout:
    """Axis i of ours is axis order[i] of theirs; an array of another rank stays, to be told as mis-shaped."""
    back = tuple(int(i) for i in np.argsort(order))
    return Layout(lambda array, shape: array.transpose(order) if array.ndim == len(order) else array,
                  lambda shape: tuple(shape[i] for i in back))


PLAIN = Layout(lambda array, shape: array, lambda shape: shape)
CONV = _reordered((2, 3, 1, 0))  # OIHW -> HWIO; depthwise ones too: [C, 1, k, k] -> [k, k, 1, C]
TRANSPOSED = _reordered((2, 3, 0, 1))  # ConvTranspose2d: [Cin, Cout, k, k] -> [k, k, Cin, Cout]
DENSE = _reordered((1, 0))  # Linear: [out, in] -> [in, out]


class Source(NamedTuple):
    """Where a leaf comes from: names in the file, joined along our last axis if there are several; none = zeros."""

    names: tuple[str, ...]
    layout: Layout = PLAIN


@dataclasses.dataclass(frozen=True)
class Found:
    """What a scheme saw in a file.

    network: name of the encoder or decoder; one that this project does not build is described
      ('a ResNet of 1-1-2-1 blocks').
    settings: config.model keys that must hold for the arrays to fit, with their values.
    habits: config.model keys that the source's own code uses and the arrays do not show.
    classes: channels of the classifier (decoders).
    refusal: why no network of this project computes what the source computes, '' if one does.
    details: what the scheme needs again to name arrays.
    """

    network: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    habits: dict[str, Any] = dataclasses.field(default_factory=dict)
    classes: int | None = None
    refusal: str = ''
    details: Any = None


@dataclasses.dataclass(frozen=True)
class Scheme:
    """A way of naming the arrays of an encoder or of a decoder.

    name, origin, keys: for messages and the page: what it is called, whose files have it, telling names.
    part: 'encoder' or 'decoder'.
    recognise: arrays by name -> what they are, None if they are not of this scheme.
    source: (path of our leaf below params/encoder/ and the like, what `look` found) -> its origin.
    unused: names that files have and no leaf takes.
    owns: names of a decoder beside the encoder's.
    """

    name: str
    origin: str
    keys: str
    part: str
    recognise: Callable[[Arrays], Found | None]
    source: Callable[[str, Found], Source]
    unused: re.Pattern
    owns: re.Pattern = re.compile('')


def shape_of(arrays: Arrays, name: str) -> Shape:
    """() for an array that is not there: a partial file must stay describable."""
    return arrays[name].shape if name in arrays else ()


def torch_leaf(name: str, leaf: str, layout: Layout | None = None) -> Source:
    """`name` + PyTorch's name of our leaf; kernels are convolutions unless a layout is given."""
    return Source((f'{name}.{LEAVES[leaf]}',), (layout or CONV) if leaf == 'kernel' else PLAIN)
