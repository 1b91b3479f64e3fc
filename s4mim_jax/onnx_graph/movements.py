"""JAX's movements of axes and parts -> ONNX: name of the primitive -> (graph, equation, inputs) -> value."""

import numpy as np

from s4mim_jax.onnx_graph.graph import Unwritable


def _reshape(graph, equation, x):
    if equation.primitive.name == 'reshape' and equation.params['dimensions'] is not None:
        raise Unwritable('a reshape in another order')
    return graph.reshape(x, equation.outvars[0].aval.shape)


def _transpose(graph, equation, x):
    return graph.transpose(x, equation.params['permutation'])


def _broadcast(graph, equation, x):
    """Axes of length one are set in, then repeated."""
    shape, places = equation.params['shape'], equation.params['broadcast_dimensions']
    before = equation.invars[0].aval.shape
    inner = [1] * len(shape)
    for place, length in zip(places, before, strict=True):
        inner[place] = length
    if tuple(inner) != tuple(before):
        x = graph.reshape(x, inner)
    return x if tuple(inner) == tuple(shape) else graph.add('Expand', x, graph.shape(shape))


def _slice(graph, equation, x):
    starts, limits = equation.params['start_indices'], equation.params['limit_indices']
    steps = equation.params['strides'] or (1,) * len(starts)
    lengths = equation.invars[0].aval.shape
    axes = [axis for axis, length in enumerate(lengths) if (starts[axis], limits[axis], steps[axis]) != (0, length, 1)]
    return _part(graph, x, axes, [starts[a] for a in axes], [limits[a] for a in axes], [steps[a] for a in axes])


def _part(graph, x, axes, starts, limits, steps):
    if not axes:
        return x
    integers = lambda values: np.asarray([int(value) for value in values], np.int64)
    return graph.add('Slice', x, integers(starts), integers(limits), integers(axes), integers(steps))


def _gather(graph, equation, x, places):
    """Parts at places known while the graph is written: a cut, or rows and columns picked from a grid of them.

    JAX writes `x[:, :5]` and `x[:, ::2]` so as soon as an axis of x is not known.
    """
    numbers, sizes = equation.params['dimension_numbers'], equation.params['slice_sizes']
    if isinstance(places, str) or numbers.operand_batching_dims:
        raise Unwritable('picking positions that depend on the image')
    axes, collapsed = list(numbers.start_index_map), set(numbers.collapsed_slice_dims)
    lengths = equation.invars[0].aval.shape
    if places.ndim == 1:
        x = _part(graph, x, axes, places, [first + sizes[axis] for first, axis in zip(places, axes)], [1] * len(axes))
        wanted = equation.outvars[0].aval.shape
        return graph.reshape(x, wanted) if collapsed else x
    cut = [axis for axis in axes if axis not in collapsed]
    firsts = [places[..., axes.index(axis)] for axis in cut]
    picked = [axis for axis in axes if axis in collapsed]
    found = [places[..., axes.index(axis)] for axis in picked]
    others = [axis for axis in range(len(lengths)) if axis not in axes]
    whole = all(sizes[axis] == lengths[axis] for axis in others) and set(picked) == collapsed
    if not whole or len(picked) != places.ndim - 1 or any((first != first.flat[0]).any() for first in firsts):
        raise Unwritable('picking positions that are no grid')
    x = _part(graph, x, cut, [first.flat[0] for first in firsts],
              [first.flat[0] + sizes[axis] for first, axis in zip(firsts, cut)], [1] * len(cut))
    for number, (axis, index) in enumerate(zip(picked, found)):
        line = np.moveaxis(index, number, 0).reshape(index.shape[number], -1)
        if (line != line[:, :1]).any():
            raise Unwritable('picking positions that are no grid')
        x = graph.add('Gather', x, line[:, 0].astype(np.int64), axis=axis)
    kept, rest = iter(axis for axis in range(len(lengths)) if axis not in picked), iter(picked)
    # Where each axis of the result lies in x.
    return graph.transpose(x, [next(kept if axis in numbers.offset_dims else rest) for axis in range(len(lengths))])


def _reverse(graph, equation, x):
    axes = equation.params['dimensions']
    return _part(graph, x, axes, [-1] * len(axes), [-2 ** 62] * len(axes), [-1] * len(axes))


def _concatenate(graph, equation, *inputs):
    return graph.add('Concat', *inputs, axis=equation.params['dimension'])


def _split(graph, equation, x):
    sizes = equation.params['sizes']
    return graph.add('Split', x, np.asarray(sizes, np.int64), axis=equation.params['axis'], outputs=len(sizes)) \
        if len(sizes) > 1 else [x]


def _pad(graph, equation, x, value):
    """Zeros or another value around; a negative width cuts off."""
    widths = equation.params['padding_config']
    if any(inner for _, _, inner in widths):
        raise Unwritable('padding between positions')
    lengths = equation.invars[0].aval.shape
    cut = [axis for axis, (low, high, _) in enumerate(widths) if low < 0 or high < 0]
    x = _part(graph, x, cut, [max(-widths[a][0], 0) for a in cut],
              [lengths[a] + min(widths[a][1], 0) for a in cut], [1] * len(cut))
    low, high = ([max(width[side], 0) for width in widths] for side in (0, 1))
    return graph.add('Pad', x, np.asarray(low + high, np.int64), value) if any(low + high) else x


RULES = {
    'reshape': _reshape, 'squeeze': _reshape, 'expand_dims': _reshape, 'transpose': _transpose,
    'broadcast_in_dim': _broadcast, 'slice': _slice, 'rev': _reverse, 'concatenate': _concatenate, 'split': _split,
    'pad': _pad, 'gather': _gather,
}
