"""The pixel decoder equals decoding class by class, and nothing crosses from one class to another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from s4mim_jax.models.pixel_decoder import PixelDecoder, gated_conv, pixel_shuffle

CLASSES = 4
DECODER = PixelDecoder(features=8, stride=2)


def convolution(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))


def class_map(shape, seed=0, ignored=0.2):
    """Random classes, a share of them 255."""
    rng = np.random.default_rng(seed)
    gate = rng.integers(0, CLASSES, shape)
    return np.where(rng.random(shape) < ignored, 255, gate).astype(np.int32)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def some_params(channels, decoder=DECODER):
    """Initial parameters moved off their zeros and ones, so that every one of them matters."""
    one = jnp.zeros((1, 1, 1, channels)), jnp.zeros((1, 1, 1), jnp.int32)
    leaves, tree = jax.tree.flatten(jax.jit(decoder.init)(jax.random.key(0), *one)['params'])
    return jax.tree.unflatten(tree, [leaf + 0.2 * normal(*leaf.shape, seed=i) for i, leaf in enumerate(leaves)])


def decode_per_class(decoder, params, features, gate, num_classes):
    """Every class on its own, other positions zeroed before each layer; 0 where no class is."""
    total = 0.0
    for k in range(num_classes):
        region = (gate == k)[..., None]
        x = region * features @ params['project']['kernel'][0, 0] + params['project']['bias']
        for i in range(decoder.layers):
            block = params[f'block{i + 1}']
            y = convolution(region * x, block['kernel'])
            y = (y - y.mean(-1, keepdims=True)) / jnp.sqrt(y.var(-1, keepdims=True) + 1e-5)
            x = jax.nn.relu(x + y * block['norm']['scale'] + block['norm']['bias'])
        x = region * (x @ params['pixels']['kernel'][0, 0] + params['pixels']['bias'])
        total += pixel_shuffle(x, decoder.stride)
    return total


def upsampled(mask, stride=2):
    return mask.repeat(stride, 1).repeat(stride, 2)


@pytest.mark.parametrize('layers', [2, 3])
def test_equals_decoding_class_by_class(layers):
    decoder = PixelDecoder(features=8, stride=2, layers=layers)
    params, features, gate = some_params(5, decoder), normal(3, 6, 7, 5), class_map((3, 6, 7))
    known = upsampled(gate != 255)[..., None]
    weights = normal(3, 12, 14, 3, seed=9)

    @jax.jit
    def both(params, features):
        def ours(p, f):
            return jnp.where(known, decoder.apply({'params': p}, f, gate), 0)

        def theirs(p, f):
            return decode_per_class(decoder, p, f, gate, CLASSES)
        return [(f(params, features), jax.grad(lambda *a: jnp.vdot(f(*a), weights), (0, 1))(params, features))
                for f in (ours, theirs)]

    ours, theirs = both(params, features)
    assert ours[0].shape == (3, 12, 14, 3) and ours[0].dtype == jnp.float32
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-5, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3, rtol=1e-4), ours[1], theirs[1])


def test_a_pixel_depends_on_its_own_class_within_two_steps_and_on_nothing_else():
    gate = np.array([[[0, 0, 1, 255], [0, 1, 1, 255], [255, 0, 1, 1]]], np.int32)
    params, features = some_params(3), normal(1, 3, 4, 3)
    jacobian = jax.jit(jax.jacrev(lambda f: DECODER.apply({'params': params}, f, gate)))(features)
    assert np.isfinite(jacobian).all()
    # By position and position: outputs [h, dy, w, dx, 3] and inputs [3] are summed away.
    strength = np.abs(jacobian).reshape(3, 2, 4, 2, 3, 3, 4, 3).max((1, 3, 4, 7)).reshape(12, 12)
    row, column, label = *(i.ravel() for i in np.indices((3, 4))), gate.ravel()
    near = (abs(row[:, None] - row) <= 1) & (abs(column[:, None] - column) <= 1)
    step = near & (label[:, None] == label) & (label != 255)
    known = label != 255
    np.testing.assert_array_equal((strength != 0)[known], (step @ step)[known])
    assert (near & (label[:, None] != label))[known].any()  # there were neighbours to keep apart


def test_one_value_everywhere_is_an_ordinary_convolution():
    x, kernel = normal(2, 5, 6, 4), normal(3, 3, 4, 7, seed=1)
    ours, theirs = jax.jit(lambda x, k: [jax.vjp(f, x, k) for f in (
        lambda x, k: gated_conv(x, k, jnp.full((2, 5, 6), 3, jnp.int32)), convolution)])(x, kernel)
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-5)
    for a, b in zip(ours[1](theirs[0]), theirs[1](theirs[0])):
        np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize('size', [(1, 1), (1, 4), (5, 3)])
def test_gated_conv_against_a_naive_loop(size):
    h, w = size
    x, kernel, gate = normal(2, h, w, 3), normal(3, 3, 3, 2, seed=1), class_map((2, h, w), seed=h, ignored=0.3)
    expected = np.zeros((2, h, w, 2))
    for b, i, j in np.ndindex(2, h, w):
        for di, dj in np.ndindex(3, 3):
            y, z = i + di - 1, j + dj - 1
            if 0 <= y < h and 0 <= z < w and gate[b, i, j] == gate[b, y, z] != 255:
                expected[b, i, j] += x[b, y, z] @ kernel[di, dj]
    np.testing.assert_allclose(jax.jit(gated_conv)(x, kernel, gate), expected, atol=1e-5)


def test_map_of_one_position():
    params, features = some_params(5), normal(2, 1, 1, 5)
    gate = np.array([[[2]], [[255]]], np.int32)
    ours = DECODER.apply({'params': params}, features, gate)
    assert ours.shape == (2, 2, 2, 3) and np.isfinite(ours).all()
    np.testing.assert_allclose(ours[0], decode_per_class(DECODER, params, features, gate, 3)[0], atol=1e-5)


def test_closed_positions_influence_nothing_even_when_not_finite():
    kernel, gate = normal(3, 3, 4, 2, seed=1), class_map((2, 5, 6), ignored=0.4)
    x = normal(2, 5, 6, 4)
    broken = np.where((gate == 255)[..., None], np.nan, x)
    ours = [jax.jit(jax.value_and_grad(lambda k, x: jnp.sum(gated_conv(x, k, gate)**2)))(kernel, x)
            for x in (x, broken)]
    assert np.isfinite(ours[0][0])
    jax.tree.map(np.testing.assert_array_equal, *ours)
    assert (np.asarray(gated_conv(broken, kernel, gate))[gate == 255] == 0).all()


def test_gradient_is_finite_when_nothing_takes_part():
    params, features = some_params(3), normal(1, 2, 3, 3)
    gate = np.full((1, 2, 3), 255, np.int32)
    value, gradients = jax.jit(jax.value_and_grad(
        lambda p, f: jnp.sum(DECODER.apply({'params': p}, f, gate)**2), (0, 1)))(params, features)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((value, gradients)))
    assert not np.any(gradients[0]['block1']['kernel'])


def test_bfloat16_computes_in_its_type_and_gives_float32():
    decoder = PixelDecoder(features=8, stride=2, dtype=jnp.bfloat16)
    gate, features = class_map((1, 4, 4)), normal(1, 4, 4, 3)
    params = some_params(3)
    out = gated_conv(jnp.ones((1, 4, 4, 3), jnp.bfloat16), jnp.ones((3, 3, 3, 2), jnp.bfloat16), gate)
    assert out.dtype == jnp.bfloat16
    ours = decoder.apply({'params': params}, features, gate)
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, DECODER.apply({'params': params}, features, gate), atol=0.2)


def test_pixel_shuffle_puts_each_channel_in_its_place():
    x = np.arange(2 * 3 * 2 * 27).reshape(2, 3, 2, 27)
    y = np.asarray(pixel_shuffle(jnp.asarray(x), 3))
    assert y.shape == (2, 9, 6, 3)
    for b, i, j, dy, dx, c in np.ndindex(2, 3, 2, 3, 3, 3):
        assert y[b, 3 * i + dy, 3 * j + dx, c] == x[b, i, j, 9 * dy + 3 * dx + c]


def shapes(decoder):
    return jax.eval_shape(decoder.init, jax.random.key(0), jnp.zeros((1, 2, 2, 3)), jnp.zeros((1, 2, 2), jnp.int32))


def test_one_layer_is_refused():
    with pytest.raises(ValueError, match='layers=1.*at least 2'):
        shapes(PixelDecoder(8, 2, layers=1))


def test_a_gate_of_another_size_is_refused():
    with pytest.raises(ValueError, match='does not fit'):
        gated_conv(jnp.zeros((2, 5, 6, 3)), jnp.zeros((3, 3, 3, 2)), jnp.zeros((2, 4, 6), jnp.int32))


def test_state_is_parameters_only():
    variables = shapes(DECODER)
    assert set(variables) == {'params'}
    assert set(variables['params']) == {'project', 'block1', 'block2', 'pixels'}
