"""JAX's convolutions, pooling and matrix products -> ONNX: primitive -> (graph, equation, inputs) -> value.

ONNX has the channels before the pixels, so a convolution of [B, H, W, C] stands between two transpositions; onnxruntime
moves those through the elementwise operations around it and cancels most of them.
"""

import math

import numpy as np

from s4mim_jax.onnx_graph.graph import Unwritable


def _convolution(graph, equation, x, kernel):
    params = equation.params
    numbers, padding = params['dimension_numbers'], params['padding']
    if params['batch_group_count'] != 1 or any(n != 1 for n in params['lhs_dilation']):
        raise Unwritable('a convolution over grouped images or with spread inputs')
    kernel = graph.transpose(kernel, numbers.rhs_spec)
    result = graph.add('Conv', graph.transpose(x, numbers.lhs_spec), kernel,
                       strides=params['window_strides'], dilations=params['rhs_dilation'],
                       pads=[low for low, _ in padding] + [high for _, high in padding],
                       group=params['feature_group_count'])
    return graph.transpose(result, np.argsort(numbers.out_spec))


def _max_pool(graph, equation, x):
    """Windows over the two middle axes of [B, H, W, C]; padding never wins in ONNX either."""
    params = equation.params
    window, strides, padding = params['window_dimensions'], params['window_strides'], params['padding']
    plain = window[0] == window[3] == strides[0] == strides[3] == 1 and padding[0] == padding[3] == (0, 0)
    if len(window) != 4 or not plain or any(n != 1 for n in (*params['base_dilation'], *params['window_dilation'])):
        raise Unwritable(f'a maximum over windows of {window}')
    result = graph.add('MaxPool', graph.transpose(x, (0, 3, 1, 2)), kernel_shape=window[1:3], strides=strides[1:3],
                       pads=[padding[1][0], padding[2][0], padding[1][1], padding[2][1]])
    return graph.transpose(result, (0, 2, 3, 1))


def _product(graph, equation, left, right):
    """dot_general: axes brought into the order of a MatMul, [batch, rows, inner] by [batch, inner, columns]."""
    (left_inner, right_inner), (left_batch, right_batch) = equation.params['dimension_numbers']
    shapes = [variable.aval.shape for variable in equation.invars]
    rows = [axis for axis in range(len(shapes[0])) if axis not in (*left_inner, *left_batch)]
    columns = [axis for axis in range(len(shapes[1])) if axis not in (*right_inner, *right_batch)]
    inner = math.prod(shapes[0][axis] for axis in left_inner)
    batch = [shapes[0][axis] for axis in left_batch]
    plain = not batch and tuple(left_inner) == (len(shapes[0]) - 1,) and tuple(right_inner) == (0,)
    if plain and len(shapes[1]) == 2:  # a layer over the last axis, however many stand before it
        return graph.add('MatMul', left, right)

    def side(value, shape, order, lengths):
        moved = graph.transpose(value, order)
        if [shape[axis] for axis in order] == list(lengths):
            return moved
        if not isinstance(moved, str):
            return moved.reshape(lengths)
        return graph.reshape(moved, lengths)

    tall, wide = (math.prod(shape[axis] for axis in axes) for shape, axes in zip(shapes, (rows, columns)))
    left = side(left, shapes[0], [*left_batch, *rows, *left_inner], [*batch, tall, inner])
    right = side(right, shapes[1], [*right_batch, *right_inner, *columns], [*batch, inner, wide])
    result = graph.add('MatMul', left, right)
    wanted = equation.outvars[0].aval.shape
    return result if tuple(wanted) == (*batch, tall, wide) else graph.reshape(result, wanted)


RULES = {'conv_general_dilated': _convolution, 'reduce_window_max': _max_pool, 'dot_general': _product}
