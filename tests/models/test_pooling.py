"""Max pooling with its own gradient equals XLA's, value and gradient, on processors only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from s4mim_jax.models import conv
from s4mim_jax.parallel.target import built_for

SHAPES = [((7, 9), 3, 2, 'same'), ((8, 6), 2, 2, 'same'), ((7, 7), 2, 2, 'same'), ((9, 5), 3, 1, 'symmetric'),
          ((10, 11), 3, 3, 'same'), ((12, 9), 3, 2, 'symmetric'), ((1, 2), 3, 2, 'symmetric'), ((6, 6), 5, 2, 'same')]


def value_and_gradient(pool, x):
    value, pull = jax.vjp(pool, x)
    return value, pull(jax.random.normal(jax.random.key(1), value.shape, jnp.float32).astype(value.dtype))[0]


def both(size, window, stride, padding, dtype):
    # Many values are equal: the gradient goes to the first of them.
    x = (jnp.round(3 * jax.random.normal(jax.random.key(0), (2, *size, 5))) / 3).astype(dtype)
    around = [conv.pads(n, window, stride, 1, padding) for n in size]
    ours = jax.jit(lambda x: value_and_gradient(lambda x: conv.max_pool(x, window, stride, padding, 'cpu'), x))
    theirs = jax.jit(lambda x: value_and_gradient(
        lambda x: nn.max_pool(x, (window, window), (stride, stride), around), x))
    return ours(x), theirs(x)


@pytest.mark.parametrize('size, window, stride, padding', SHAPES)
def test_value_and_gradient_equal_xlas(size, window, stride, padding):
    (value, gradient), (expected, expected_gradient) = both(size, window, stride, padding, jnp.float32)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-6)


def test_bfloat16_keeps_its_type():
    (value, gradient), (expected, expected_gradient) = both((7, 9), 3, 2, 'symmetric', jnp.bfloat16)
    assert value.dtype == gradient.dtype == jnp.bfloat16
    np.testing.assert_array_equal(value, expected)
    gradient, expected_gradient = (g.astype(jnp.float32) for g in (gradient, expected_gradient))
    np.testing.assert_allclose(gradient, expected_gradient, rtol=0.02, atol=0.05)


def test_accelerators_have_xlas():
    def gradient():  # a new function each time: JAX keeps what it traced
        pooled = lambda x: conv.max_pool(x, 3, 2, 'symmetric').sum()
        return str(jax.make_jaxpr(jax.grad(pooled))(jnp.ones((1, 8, 8, 2))))

    assert 'select_and_scatter' not in gradient()
    for platform in ('tpu', 'gpu'):
        with built_for(platform):
            assert 'select_and_scatter' in gradient()
