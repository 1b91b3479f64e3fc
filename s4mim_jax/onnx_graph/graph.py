"""The ONNX graph while it is written: nodes, constants, and shapes of which one axis is only known when it runs."""

import numpy as np


class Unwritable(Exception):
    """An operation in a form that ONNX, or these rules, have no node for; `convert` makes an InputError of it."""


class Graph:
    """Nodes and constants in order; `batch` is the symbolic number of images, `source` the input that has it first.

    Values are either names (str) of the graph or NumPy arrays, which become constants where a node takes them.
    """

    def __init__(self, source: str, batch):
        from onnx import helper, numpy_helper
        self._helper, self._to_tensor = helper, numpy_helper.from_array
        self.nodes, self.constants, self._names = [], [], {}
        self._source, self._batch, self._count = source, batch, None

    def name(self, value, hint: str = 'constant') -> str:
        """The name of a value; an array is stored once, under its content."""
        if isinstance(value, str):
            return value
        array = np.ascontiguousarray(value) if value.ndim else np.asarray(value)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._names:
            self._names[key] = f'{hint}_{len(self.constants)}'
            self.constants.append(self._to_tensor(array, self._names[key]))
        return self._names[key]

    def add(self, operator: str, *inputs, outputs: int = 1, **attributes):
        """A node; returns the name of its output, or a list of names."""
        names = [f'{operator.lower()}_{len(self.nodes)}' + (f'_{i}' if outputs > 1 else '') for i in range(outputs)]
        self.nodes.append(self._helper.make_node(operator, [self.name(value) for value in inputs], names,
                                                 name=f'{operator}_{len(self.nodes)}', **attributes))
        return names if outputs > 1 else names[0]

    def known(self, length) -> bool:
        """Whether a length of an axis is a number while the graph is written."""
        return isinstance(length, int | np.integer)

    def shape(self, lengths):
        """int64 [rank], for Expand: a constant, or computed where a length depends on the number of images."""
        if all(map(self.known, lengths)):
            return np.asarray(lengths, np.int64)
        if self._count is None:
            self._count = self.add('Slice', self.add('Shape', self._source), np.asarray([0], np.int64),
                                   np.asarray([1], np.int64))
        return self.add('Concat', *map(self._length, lengths), axis=0)

    def _length(self, length):
        if self.known(length):
            return np.asarray([length], np.int64)
        times = self.multiple(length)
        return self._count if times == 1 else self.add('Mul', self._count, np.asarray([times], np.int64))

    def multiple(self, length) -> int:
        """k of a symbolic length that is k times the number of images."""
        times = length // self._batch
        if not self.known(times) or length != times * self._batch:
            raise Unwritable(f'an axis of {length} positions')
        return int(times)

    def reshape(self, value, lengths):
        """Reshape, with -1 for the one axis that is not known."""
        if sum(not self.known(length) for length in lengths) > 1:
            return self.add('Reshape', value, self.shape(lengths))
        return self.add('Reshape', value, np.asarray([n if self.known(n) else -1 for n in lengths], np.int64))

    def transpose(self, value, order):
        """Axes in another order; a constant is transposed while the graph is written."""
        order = tuple(int(axis) for axis in order)
        if order == tuple(range(len(order))):
            return value
        if not isinstance(value, str):
            return np.transpose(value, order)
        return self.add('Transpose', value, perm=order)
