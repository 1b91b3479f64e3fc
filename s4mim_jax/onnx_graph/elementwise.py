"""JAX's elementwise operations and reductions -> ONNX: name of the primitive -> (graph, equation, inputs) -> value."""

import jax.numpy as jnp
import numpy as np

from s4mim_jax.onnx_graph.graph import Unwritable

# One operator each, with the same arguments.
PLAIN = {
    'add': 'Add', 'add_any': 'Add', 'sub': 'Sub', 'mul': 'Mul', 'div': 'Div', 'max': 'Max', 'min': 'Min', 'neg': 'Neg',
    'exp': 'Exp', 'log': 'Log', 'tanh': 'Tanh', 'logistic': 'Sigmoid', 'erf': 'Erf', 'sqrt': 'Sqrt', 'abs': 'Abs',
    'sign': 'Sign', 'floor': 'Floor', 'ceil': 'Ceil', 'sin': 'Sin', 'cos': 'Cos', 'pow': 'Pow', 'lt': 'Less',
    'le': 'LessOrEqual', 'gt': 'Greater', 'ge': 'GreaterOrEqual', 'eq': 'Equal', 'and': 'And', 'or': 'Or',
    'not': 'Not',
}
REDUCTIONS = {'reduce_sum': 'ReduceSum', 'reduce_max': 'ReduceMax', 'reduce_min': 'ReduceMin'}
SAME = ('copy', 'copy_p', 'stop_gradient', 'optimization_barrier', 'sharding_constraint', 'device_put')


def element_type(dtype) -> int:
    """ONNX's number of a NumPy or JAX type."""
    from onnx import helper
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def number(equation, value: float) -> np.ndarray:
    """A constant of the type of an equation's result."""
    return np.asarray(value, equation.outvars[0].aval.dtype)


def _plain(operator):
    return lambda graph, equation, *inputs: graph.add(operator, *inputs)


def _reduce(operator):
    return lambda graph, equation, x: graph.add(operator, x, np.asarray(equation.params['axes'], np.int64), keepdims=0)


def _power(graph, equation, x):
    """x ** n of an integer n: products where it is a small one."""
    exponent = equation.params['y']
    if exponent == 2:
        return graph.add('Mul', x, x)
    return graph.add('Pow', x, number(equation, exponent))


def _rsqrt(graph, equation, x):
    return graph.add('Reciprocal', graph.add('Sqrt', x))


def _complementary_error(graph, equation, x):
    """1 - erf(x); what is lost far out is lost in the product that a GELU makes of it, too."""
    return graph.add('Sub', number(equation, 1), graph.add('Erf', x))


def _cast(graph, equation, x):
    return graph.add('Cast', x, to=element_type(equation.params['new_dtype']))


def _clamp(graph, equation, low, x, high):
    return graph.add('Min', graph.add('Max', x, low), high)


def _select(graph, equation, which, *cases):
    if len(cases) != 2 or equation.invars[0].aval.dtype != jnp.bool_:
        raise Unwritable(f'a choice among {len(cases)}')
    return graph.add('Where', which, cases[1], cases[0])


def _unequal(graph, equation, a, b):
    return graph.add('Not', graph.add('Equal', a, b))


def _same(graph, equation, *inputs):
    return inputs[0] if len(inputs) == 1 else list(inputs)


RULES = {
    **{name: _plain(operator) for name, operator in PLAIN.items()},
    **{name: _reduce(operator) for name, operator in REDUCTIONS.items()},
    **dict.fromkeys(SAME, _same),
    'integer_pow': _power, 'square': lambda graph, equation, x: graph.add('Mul', x, x), 'rsqrt': _rsqrt,
    'erfc': _complementary_error, 'convert_element_type': _cast, 'clamp': _clamp, 'select_n': _select, 'ne': _unequal,
}
