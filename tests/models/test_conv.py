"""Every form of a convolution equals XLA's own, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from s4mim_jax.models import conv, conv_forms


def reference(x, kernel, stride, dilation, around):
    depthwise = kernel.shape[2] == 1
    return lax.conv_general_dilated(x, kernel, (stride, stride), around, rhs_dilation=(dilation, dilation),
                                    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
                                    feature_group_count=x.shape[-1] if depthwise else 1)


def compare(form, shape, kernel_shape, stride, dilation, padding):
    size = kernel_shape[0]
    around = tuple(conv.pads(n, size, stride, dilation, padding) for n in shape[1:3])

    @jax.jit
    def both(key):
        keys = jax.random.split(key, 3)
        x, kernel = jax.random.normal(keys[0], shape), jax.random.normal(keys[1], kernel_shape)
        ours, pull = jax.vjp(lambda x, k: conv.convolve(x, k, stride=stride, dilation=dilation,
                                                        padding=padding, form=form), x, kernel)
        theirs, their_pull = jax.vjp(lambda x, k: reference(x, k, stride, dilation, around), x, kernel)
        gradient = jax.random.normal(keys[2], theirs.shape)
        return (ours, *pull(gradient)), (theirs, *their_pull(gradient))

    for ours, theirs in zip(*both(jax.random.key(0))):
        np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('size, stride, dilation, padding', [
    ((8, 10), 1, 1, 'symmetric'), ((8, 10), 2, 1, 'same'), ((8, 10), 2, 1, 'symmetric'),
    ((7, 9), 2, 1, 'same'), ((19, 5), 1, 2, 'same'), ((9, 8), 2, 2, 'symmetric'), ((1, 3), 1, 4, 'same'),
])
def test_shifted(size, stride, dilation, padding):
    compare('shifted', (2, *size, 5), (3, 3, 1, 5), stride, dilation, padding)


@pytest.mark.parametrize('size, stride, dilation, padding', [
    ((8, 10), 1, 2, 'symmetric'), ((7, 9), 2, 1, 'same'), ((8, 9), 2, 3, 'symmetric'),
    ((9, 8), 1, 6, 'same'), ((7, 20), 1, 12, 'symmetric'),  # taps that never meet the map
])
def test_sliced(size, stride, dilation, padding):
    compare('sliced', (2, *size, 4), (3, 3, 4, 6), stride, dilation, padding)


@pytest.mark.parametrize('stride', [1, 2])
def test_pointwise(stride):
    compare('pointwise', (2, 7, 8, 4), (1, 1, 4, 6), stride, 1, 'symmetric')


@pytest.mark.parametrize('size, kernel, stride, padding', [
    ((12, 10), 7, 2, 'symmetric'), ((13, 9), 7, 2, 'symmetric'), ((13, 9), 7, 2, 'same'), ((12, 10), 7, 2, 'same'),
    ((9, 8), 3, 2, 'symmetric'), ((11, 14), 5, 3, 'same'), ((4, 3), 7, 2, 'symmetric')])
def test_folded(size, kernel, stride, padding):
    compare('folded', (2, *size, 3), (kernel, kernel, 3, 4), stride, 1, padding)


@pytest.mark.parametrize('size, kernel, stride, dilation, padding', [
    ((8, 10), 3, 1, 1, 'symmetric'), ((7, 9), 3, 1, 1, 'same'), ((9, 8), 3, 2, 1, 'same'),
    ((9, 7), 3, 1, 2, 'symmetric'),
    ((11, 6), 5, 2, 1, 'symmetric'), ((2, 3), 3, 1, 1, 'symmetric')])
def test_tapped(size, kernel, stride, dilation, padding):
    compare('tapped', (2, *size, 4), (kernel, kernel, 4, 6), stride, dilation, padding)


def test_kernel_of_five_with_same_padding():
    compare('shifted', (1, 8, 8, 3), (5, 5, 1, 3), 2, 1, 'same')


def test_bfloat16_keeps_its_type_in_value_and_gradient():
    x, kernel = jnp.ones((1, 6, 6, 4), jnp.bfloat16), jnp.ones((3, 3, 1, 4), jnp.bfloat16)
    value, pull = jax.eval_shape(lambda: (conv.convolve(x, kernel, form='shifted'),
                                          jax.vjp(lambda x, k: conv.convolve(x, k, form='shifted'), x, kernel)
                                          [1](jnp.ones((1, 6, 6, 4), jnp.bfloat16))))
    assert value.dtype == jnp.bfloat16
    assert [g.dtype for g in pull] == [jnp.bfloat16] * 2


@pytest.mark.parametrize('form, kernel, stride, dilation', [
    ('pointwise', (1, 1, 4, 6), 1, 1), ('pointwise', (1, 1, 4, 6), 2, 1), ('sliced', (3, 3, 4, 6), 1, 6),
    ('folded', (7, 7, 4, 6), 2, 1), ('tapped', (3, 3, 4, 6), 1, 1),
    ('shifted', (3, 3, 1, 4), 2, 1)])
def test_bfloat16_equals_float32_to_its_own_precision(form, kernel, stride, dilation):
    """Forward and both gradients, on an odd map."""
    keys = jax.random.split(jax.random.key(0), 2)
    exact = jax.random.normal(keys[0], (2, 7, 9, 4)), jax.random.normal(keys[1], kernel)

    @jax.jit
    def run(x, kernel):
        value, pull = jax.vjp(lambda x, k: conv.convolve(x, k, stride=stride, dilation=dilation, form=form), x, kernel)
        return value, *pull(jnp.ones_like(value))

    coarse = [array.astype(jnp.bfloat16) for array in exact]
    for half, full in zip(run(*coarse), run(*(array.astype(jnp.float32) for array in coarse))):
        assert half.dtype == jnp.bfloat16
        np.testing.assert_allclose(half.astype(jnp.float32), full, rtol=0.02, atol=0.02 * float(jnp.abs(full).max()))


@pytest.mark.parametrize('size, kernel, stride, dilation', [
    (8, 3, 1, 1), (8, 3, 2, 1), (9, 3, 2, 1), (8, 7, 2, 1), (5, 3, 1, 6), (8, 1, 2, 1), (2, 3, 2, 1)])
def test_same_padding_is_tensorflows(size, kernel, stride, dilation):
    assert conv.pads(size, kernel, stride, dilation, 'same') == lax.padtype_to_pads(
        (size,), (dilation * (kernel - 1) + 1,), (stride,), 'SAME')[0]


def test_symmetric_padding_is_the_same_on_both_sides():
    assert conv.pads(8, 3, 2, 1, 'symmetric') == (1, 1)
    assert conv.pads(8, 3, 1, 6, 'symmetric') == (6, 6)
    assert conv.pads(8, 7, 2, 1, 'symmetric') == (3, 3)


def test_tap_share_counts_reads_inside_the_map():
    # 21 rows at dilation 12: the outer taps read 9 of 21 rows each; (21 + 9 + 9) / 63 per axis.
    share = conv_forms.tap_share((21, 21), ((12, 12), (12, 12)), 3, 1, 12)
    assert share == pytest.approx((39 / 63) ** 2)
    assert 9 * share == pytest.approx(3.4, abs=0.1)  # 3.5 of 9 taps, as was measured for this map


def test_choice_is_by_platform_and_shape():
    def form(kernel, dilation=1, depthwise=False, platform='cpu', size=(21, 21)):
        around = tuple(conv.pads(n, kernel, 1, dilation, 'symmetric') for n in size)
        return conv.choose(size, kernel, 1, dilation, depthwise, around, platform)

    assert form(3) == 'xla'
    assert form(1) == 'pointwise'
    assert form(3, depthwise=True) == 'shifted'
    assert form(3, dilation=12) == 'sliced'
    assert form(3, dilation=2) == 'xla'  # nearly all taps inside: XLA's own is faster
    assert form(3, dilation=2, size=(6, 6)) == 'sliced'
    around = ((3, 3), (3, 3))
    assert conv.choose((64, 64), 7, 2, 1, False, around, 'cpu', 3) == 'folded'
    assert conv.choose((64, 64), 7, 2, 1, False, around, 'tpu', 3) == 'xla'
    assert conv.choose((64, 64), 7, 2, 1, False, around, 'cpu', 64) == 'xla'

    def large(stride=1, platform='cpu', size=conv.TAPPED_FROM + 4, vendor='GenuineIntel'):
        return conv.choose((81, 81), 3, stride, 1, False, ((1, 1), (1, 1)), platform, 256, size, vendor)

    assert large() == 'tapped'
    assert large(stride=2) == large(platform='gpu') == large(size=conv.TAPPED_FROM) == 'xla'
    assert large(vendor='AuthenticAMD') == large(vendor='') == 'xla'
    for platform in ('tpu', 'gpu'):
        assert form(3, 12, False, platform) == form(1, 1, False, platform) == 'xla'
        assert form(3, 1, True, platform) == 'xla'


@pytest.mark.parametrize('padding', ['symmetric', 'same'])
def test_max_pool_ignores_padding(padding):
    x = -np.arange(1, 37, dtype=np.float32).reshape(1, 6, 6, 1)
    before, after = conv.pads(6, 3, 2, 1, padding)
    padded = np.pad(x[0, :, :, 0], (before, after), constant_values=-np.inf)
    expected = [[padded[2 * i:2 * i + 3, 2 * j:2 * j + 3].max() for j in range(3)] for i in range(3)]
    np.testing.assert_array_equal(conv.max_pool(jnp.asarray(x), 3, 2, padding)[0, :, :, 0], expected)
