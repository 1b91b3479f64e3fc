"""bfloat16: what is computed in it, how far that is from float32, and what stays float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import tiny_network

from configs import voc
from s4mim_jax.config.precision import compute_dtype, with_precision
from s4mim_jax.models.pixel_decoder import gated_conv
from s4mim_jax.training import create_state, make_train_step

ROUNDING = 2.0**-8  # of a number to bfloat16, relative: eight bits of significand


@pytest.fixture(scope='module')
def gated():
    """gated_conv and its gradients, in bfloat16 and, of the same rounded operands, in float32."""
    draw = np.random.default_rng(0)
    rounded = lambda *shape: jnp.asarray(draw.normal(size=shape), jnp.bfloat16)
    x, kernel, pull = rounded(2, 7, 6, 24), rounded(3, 3, 24, 16), rounded(2, 7, 6, 16)
    gate = draw.integers(0, 3, (2, 7, 6)).astype(np.int32)
    gate[draw.random(gate.shape) < 0.15] = 255

    @jax.jit
    def both(x, kernel, pull):
        y, back = jax.vjp(lambda x, k: gated_conv(x, k, gate), x, kernel)
        return {'output': y, **dict(zip(('to x', 'to kernel'), back(pull), strict=True))}

    sizes = both(*(jnp.abs(a).astype(jnp.float32) for a in (x, kernel, pull)))
    return both(x, kernel, pull), both(*(a.astype(jnp.float32) for a in (x, kernel, pull))), sizes, gate


@pytest.mark.parametrize('name', ['output', 'to x', 'to kernel'])
def test_gated_convolution_in_bfloat16_is_float32s_but_for_rounding(gated, name):
    """Products of bfloat16 numbers are exact in float32, so an output that was summed in float32 differs by its own
    rounding alone, and a gradient to x, a sum of nine such, by that of its parts. `sizes` has what is summed at its
    absolute value, the scale of a rounding on the way."""
    ours, exact, sizes, _ = gated
    assert ours[name].dtype == jnp.bfloat16 and exact[name].dtype == jnp.float32
    error = np.abs(np.asarray(ours[name], np.float64) - np.asarray(exact[name], np.float64))
    allowed = ROUNDING * np.abs(exact[name]) + 1e-5 * np.asarray(sizes[name])
    if name == 'to x':  # nine parts of up to `sizes`, each rounded and added in bfloat16
        allowed = allowed + 2 * ROUNDING * np.asarray(sizes[name])
    assert (error <= allowed).all()
    assert error.max() > 0  # it was computed in bfloat16


def test_closed_positions_are_exactly_zero_in_bfloat16_too(gated):
    ours, _, _, gate = gated
    closed = gate == 255
    assert closed.any() and not np.asarray(ours['output'], np.float32)[closed].any()
    assert not np.asarray(ours['to x'], np.float32)[closed].any()


@pytest.mark.slow
def test_a_step_of_s4mim_in_bfloat16_keeps_its_state_in_float32(monkeypatch):
    """All its terms are finite, and parameters, statistics, optimiser and EMA teacher move in float32."""
    tiny_network.replace(monkeypatch)
    config = tiny.config('s4mim', crop=(32, 32), batch=4, precision='bfloat16', method__teacher__kind='ema',
                         model__output_stride=8, **tiny.NO_JITTER)
    config.method.mim.update(tau=0.0, ramp=0.0)  # the unlabelled parts of its terms take part from the first step
    state, step = create_state(config, tiny.CLASSES), make_train_step(config, tiny.CLASSES)
    batch = tiny.batch(config)
    program = step.lower(state, batch).as_text()
    assert 'bf16' in program
    after, metrics = state, None
    for _ in range(2):
        after, metrics = step(after, batch)
    losses = {name: metric for name, metric in metrics.items() if name.startswith('loss')}
    assert {'loss/class_wise_mim', 'loss/semantic_mim', 'loss/feature_aggregation'} <= losses.keys()
    for name, metric in losses.items():
        assert metric.total.dtype == jnp.float32 and np.isfinite(metric.total), name
    assert losses['loss/class_wise_mim'].total > 0
    for part in ('params', 'batch_stats', 'opt_state', 'ema'):
        leaves = [leaf for leaf in jax.tree.leaves(getattr(after, part)) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        assert leaves and {str(leaf.dtype) for leaf in leaves} == {'float32'}, part
        assert all(np.isfinite(leaf).all() for leaf in leaves), part
    moved = jax.tree.map(lambda a, b: float(np.max(np.abs(np.asarray(a) - b))), state.params, after.params)
    assert min(jax.tree.leaves(moved['pixel_decoder'])) > 0
    assert max(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.max(np.abs(np.asarray(a) - b))),
                                            state.ema['params'], after.ema['params']))) > 0


def test_recipes_compute_in_bfloat16_on_accelerators_only():
    config = voc.get_config('s4mim')
    assert config.precision == 'auto'
    assert [compute_dtype(config, name) for name in ('tpu', 'gpu', 'cpu')] == ['bfloat16', 'bfloat16', 'float32']
    for name, precision in (('tpu', 'bfloat16'), ('cpu', 'float32')):
        assert with_precision(config, platform=name).precision == precision
    assert config.precision == 'auto'  # the caller's stays as it is


def test_a_stated_precision_and_that_of_a_run_that_goes_on_hold_everywhere():
    config = voc.get_config('s4mim')
    assert with_precision(config, 'bfloat16', 'cpu').precision == 'bfloat16'
    config.precision = 'float32'
    assert with_precision(config, 'bfloat16', 'tpu').precision == 'float32'
    assert compute_dtype(config, 'tpu') == 'float32'
