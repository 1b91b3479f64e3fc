"""Normalisation: against NumPy, over devices, frozen, and groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from s4mim_jax.models.norm import Norm

X = np.random.default_rng(0).normal(1.5, 2.0, size=(8, 3, 5, 4)).astype(np.float32)
VARIABLES = {
    'params': {'scale': np.array([1, 2, .5, -1], np.float32), 'bias': np.array([0, 1, -1, .5], np.float32)},
    'batch_stats': {'mean': np.array([.1, .2, .3, .4], np.float32),
                    'var': np.array([1, 2, 3, 4], np.float32)},
}


def affine(x, mean, var):
    scale, bias = VARIABLES['params']['scale'], VARIABLES['params']['bias']
    return (x - mean) / np.sqrt(var + 1e-5) * scale + bias


def test_training_uses_the_batch_and_moves_the_running_statistics():
    y, changed = Norm().apply(VARIABLES, X, True, mutable=['batch_stats'])
    mean, var = X.mean((0, 1, 2)), X.var((0, 1, 2))
    np.testing.assert_allclose(y, affine(X, mean, var), atol=2e-5)
    old = VARIABLES['batch_stats']
    np.testing.assert_allclose(changed['batch_stats']['mean'], .9 * old['mean'] + .1 * mean, rtol=1e-5)
    np.testing.assert_allclose(changed['batch_stats']['var'], .9 * old['var'] + .1 * var, rtol=1e-5)


@pytest.mark.parametrize('train, frozen', [(False, False), (True, True)])
def test_evaluation_and_frozen_use_the_running_statistics(train, frozen):
    y, changed = Norm(frozen=frozen).apply(VARIABLES, X, train, mutable=['batch_stats'])
    old = VARIABLES['batch_stats']
    np.testing.assert_allclose(y, affine(X, old['mean'], old['var']), atol=2e-5)
    assert all((changed['batch_stats'][k] == old[k]).all() for k in old)


def test_eight_devices_with_an_axis_name_are_one_batch():
    mesh = Mesh(np.array(jax.devices()[:8]), ('data',))

    def loss(params, x, norm):
        y, changed = norm.apply({**VARIABLES, 'params': params}, x, True, mutable=['batch_stats'])
        return jnp.sum(jnp.sin(y)), (y, changed['batch_stats'])

    def on_devices(norm):
        def local(params, x):
            gradient, (y, statistics) = jax.grad(loss, has_aux=True)(params, x, norm)
            return jax.lax.psum(gradient, 'data'), y, statistics

        spread = jax.shard_map(local, mesh=mesh, in_specs=(P(), P('data')), out_specs=(P(), P('data'), P()),
                               check_vma=False)
        return jax.jit(spread)(VARIABLES['params'], X)

    gradient, (y, statistics) = jax.grad(loss, has_aux=True)(VARIABLES['params'], X, Norm())
    synced = on_devices(Norm(axis_name='data'))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=3e-5, rtol=1e-4), synced,
                 (gradient, y, statistics))
    alone = on_devices(Norm())
    assert float(np.abs(alone[1] - y).max()) > 0.1  # without it every device has its own statistics


def test_group_norm_depends_on_one_image_only_and_keeps_no_state():
    norm = Norm('group')
    x = np.random.default_rng(1).normal(size=(3, 4, 4, 64)).astype(np.float32)
    variables = norm.init(jax.random.key(0), x, True)
    assert set(variables) == {'params'}
    y = norm.apply(variables, x, True)
    np.testing.assert_allclose(norm.apply(variables, x[:1], True), y[:1], atol=1e-5)
    grouped = x.reshape(3, 16, 32, 2)  # 32 groups of two channels
    mean, var = grouped.mean((1, 3), keepdims=True), grouped.var((1, 3), keepdims=True)
    expected = (grouped - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(y, expected.reshape(x.shape), atol=1e-5)


def test_bfloat16_input_has_float32_statistics():
    y, changed = jax.eval_shape(lambda: Norm(dtype=jnp.bfloat16).apply(
        VARIABLES, jnp.asarray(X, jnp.bfloat16), True, mutable=['batch_stats']))
    assert y.dtype == jnp.bfloat16
    assert all(v.dtype == jnp.float32 for v in changed['batch_stats'].values())
