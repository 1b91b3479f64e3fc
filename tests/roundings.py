"""A function evaluated as a compiler may: each value computed again for each of its uses, and rounded anew.

A program is fused in another way by every version of XLA and on every device. What must hold on all of them is tested
here without any of them: each time arithmetic or a comparison reads a computed float32, the value is moved by at most
one unit in the last place. Values stay as they are where they are written down once: behind an optimisation barrier,
out of a loop or a sort, and numbers drawn from random bits; also when such a value is only moved or selected.
"""

import jax
import numpy as np
from jax.extend import core

_ONCE = {'optimization_barrier', 'sort', 'while', 'scan', 'random_bits', 'shift_right_logical', 'bitcast_convert_type'}
_MOVED = {'reshape', 'squeeze', 'slice', 'broadcast_in_dim', 'transpose', 'concatenate', 'split', 'pad', 'rev',
          'gather', 'convert_element_type', 'copy', 'stop_gradient', 'select_n', 'dynamic_slice', 'max', 'min',
          'reduce_max', 'reduce_min', 'neg', 'abs'}
_INLINED = {'jit': 'jaxpr', 'pjit': 'jaxpr', 'custom_jvp_call': 'call_jaxpr', 'custom_vjp_call': 'call_jaxpr'}


def rounded_anew(function, *arguments, seed: int = 0):
    """`function(*arguments)` with every reading of a computed float32 moved; the arguments count as computed."""
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
    random = np.random.default_rng(seed)
    leaves = [(np.asarray(leaf), True) for leaf in jax.tree.leaves(arguments)]
    results = [value for value, _ in _evaluate(closed, leaves, random)]
    return jax.tree.unflatten(jax.tree.structure(shape), results)


def _evaluate(closed, arguments, random):
    """`arguments` and results: (value, whether it may be computed again)."""
    known = dict(zip(closed.jaxpr.invars, arguments))
    known |= {var: (np.asarray(value), False) for var, value in zip(closed.jaxpr.constvars, closed.consts)}
    look = lambda var: (np.asarray(var.val), False) if isinstance(var, core.Literal) else known[var]
    for equation in closed.jaxpr.eqns:
        name, inputs = equation.primitive.name, [look(var) for var in equation.invars]
        if name in _INLINED:
            inner = equation.params[_INLINED[name]]
            outputs = _evaluate(inner, inputs, random)
        else:
            moves = name in _MOVED
            again = any(may for value, may in inputs if value.dtype == np.float32) if moves else name not in _ONCE
            outputs = [(value, again) for value in _one(equation, inputs, None if moves else random)]
        known.update(zip(equation.outvars, outputs))
    return [look(var) for var in closed.jaxpr.outvars]


def _one(equation, inputs, random):
    read = {var: _rounded(value, random) if again and random else value
            for var, (value, again) in zip(equation.invars, inputs) if not isinstance(var, core.Literal)}
    alone = core.Jaxpr((), tuple(read), equation.outvars, [equation])
    return core.jaxpr_as_fun(core.ClosedJaxpr(alone, ()))(*read.values())


def _rounded(value, random):
    if value.dtype != np.float32:
        return value
    value = np.asarray(value)
    towards = random.choice(np.array([-np.inf, 0, np.inf], np.float32), value.shape)
    return np.where((towards == 0) | (value == 0), value, np.nextafter(value, towards)).astype(np.float32)
