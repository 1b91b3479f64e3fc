"""From a JAX function to the bytes of an ONNX model."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from s4mim_jax.config.errors import InputError
from s4mim_jax.onnx_graph import elementwise, movements, products
from s4mim_jax.onnx_graph.graph import Graph, Unwritable

OPSET, IR_VERSION = 18, 9  # read by onnxruntime from 1.15 on
RULES = {**elementwise.RULES, **movements.RULES, **products.RULES}
IMAGES, VALUES = 'images', 'values'


def to_onnx(function: Callable, shape: tuple[int, int, int], metadata: dict[str, str], output: str = VALUES):
    """An ONNX model of one input `images`, uint8 [b, *shape] of any b.

    Args:
      function: uint8 [b, H, W, channels] -> float32, of JAX operations; its arrays become constants of the model.
      shape: (H, W, channels). metadata: text by key, for whoever opens the file. output: name of the result.

    Returns:
      onnx.ModelProto, whose result is named `output`.

    Raises:
      InputError: `onnx` is not installed, or an operation that has no rule here.
    """
    try:
        from onnx import helper
    except ImportError:
        raise InputError('ONNX files are written by the package onnx, which is not installed\n'
                         'pip install "onnx>=1.16" onnxruntime') from None
    batch, = export.symbolic_shape('b')
    traced = jax.jit(function).trace(jax.ShapeDtypeStruct((batch, *shape), jnp.uint8)).jaxpr
    graph = Graph(IMAGES, batch)
    values, = _written(graph, traced.jaxpr, [np.asarray(value) for value in traced.consts], [IMAGES])
    graph.nodes.append(helper.make_node('Identity', [graph.name(values)], [output]))
    result = traced.jaxpr.outvars[0].aval
    lengths = ['b' if not graph.known(length) else length for length in result.shape]
    body = helper.make_graph(
        graph.nodes, 's4mim_jax',
        [helper.make_tensor_value_info(IMAGES, elementwise.element_type(np.uint8), ['b', *shape])],
        [helper.make_tensor_value_info(output, elementwise.element_type(result.dtype), lengths)], graph.constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid('', OPSET)], producer_name='s4mim_jax',
                              ir_version=IR_VERSION)
    helper.set_model_props(model, metadata)
    return model


def _written(graph: Graph, jaxpr, consts, inputs) -> list:
    """Writes the equations of a jaxpr into the graph; returns the values of its results."""
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *inputs), strict=True))
    read = lambda variable: np.asarray(variable.val, variable.aval.dtype) if hasattr(variable, 'val') \
        else values[variable]
    for equation in jaxpr.eqns:
        given = [read(variable) for variable in equation.invars]
        results = _results(graph, equation, given)
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]


def _results(graph, equation, given) -> list:
    inner = _inner(equation)
    if inner is not None:
        jaxpr, consts = inner
        return _written(graph, jaxpr, [np.asarray(value) for value in consts], given)
    if _constant(equation, given):
        found = equation.primitive.bind(*map(jnp.asarray, given), **equation.params)
        return [np.asarray(value) for value in (found if equation.primitive.multiple_results else [found])]
    name = equation.primitive.name
    if name not in RULES:
        raise InputError(f'the operation {name} cannot be written as ONNX\nuse --format=jax')
    try:
        found = RULES[name](graph, equation, *given)
    except Unwritable as error:
        raise InputError(f'{error} cannot be written as ONNX (operation {name})\nuse --format=jax') from None
    return found if isinstance(found, list) else [found]


def _inner(equation):
    """(jaxpr, constants) of an equation that only calls another program: jit, remat, a gradient of its own."""
    for key in ('jaxpr', 'call_jaxpr', 'fun_jaxpr'):
        inner = equation.params.get(key)
        if inner is not None and equation.primitive.name not in ('scan', 'while', 'cond'):
            return (inner.jaxpr, inner.consts) if hasattr(inner, 'consts') else (inner, [])
    return None


def _constant(equation, given) -> bool:
    """Whether a result is computed now: it needs no image and is not much larger than what it is made of."""
    if any(isinstance(value, str) for value in given):
        return False
    lengths = [length for variable in equation.outvars for length in variable.aval.shape]
    if not all(isinstance(length, int) for length in lengths):
        return False
    made = sum(variable.aval.size for variable in equation.outvars)
    return made <= 4 * sum(value.size for value in given) + 4096
