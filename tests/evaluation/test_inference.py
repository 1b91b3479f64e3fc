"""Whole, sliding and centre-crop inference against NumPy, with networks simple enough to follow."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s4mim_jax import evaluation, views
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.evaluation import inference
from s4mim_jax.evaluation.inference import Protocol
from s4mim_jax.evaluation.own_size import decide, resize_rows
from s4mim_jax.models.resize import resize_bilinear

WEIGHTS = np.random.default_rng(5).normal(size=(3, 4)).astype(np.float32)


def positional(variables, images):
    """A network whose output depends on where in its input a pixel lies, as a real one's does."""
    height, width = images.shape[1:3]
    ramp = jnp.linspace(-1, 1, height)[:, None] * jnp.linspace(0.5, 2, width)[None]
    return images @ variables + ramp[..., None] * jnp.arange(variables.shape[1])


def pictures(count, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


@pytest.mark.parametrize('align_corners', [False, True])
def test_resize_to_traced_sizes_equals_the_models_resize(align_corners):
    values = jnp.asarray(np.random.default_rng(0).normal(size=(5, 9, 13, 3)), jnp.float32)
    sizes = [(9, 13), (31, 40), (4, 5), (1, 17), (40, 1)]
    rows = jnp.arange(40, dtype=jnp.int32)
    resize = jax.jit(lambda v, own: resize_rows(v, own, rows, 40, align_corners))
    out = np.asarray(resize(values, jnp.asarray(sizes, jnp.int32)))
    for i, (height, width) in enumerate(sizes):
        expected = resize_bilinear(values[i:i + 1], (height, width), align_corners)[0]
        np.testing.assert_allclose(out[i, :height, :width], expected, atol=2e-6)
    resize(values, jnp.asarray(sizes[::-1], jnp.int32))
    assert resize._cache_size() == 1


def test_resize_is_exact_for_large_images():
    values = jnp.asarray(np.random.default_rng(0).normal(size=(1, 2047, 1, 1)), jnp.float32)
    rows = jnp.arange(8192, dtype=jnp.int32)
    for align_corners in (False, True):
        out = resize_rows(values, jnp.array([[8191, 1]]), rows, 1, align_corners)[:, :8191]
        np.testing.assert_allclose(out, resize_bilinear(values, (8191, 1), align_corners), atol=2e-6)


@pytest.mark.parametrize('kind', ['logits', 'probabilities'])
def test_decide_works_in_strips_and_gives_the_top_probability(kind):
    rng = np.random.default_rng(0)
    values = jnp.asarray(rng.normal(size=(2, 10, 7, 4)), jnp.float32)
    if kind == 'probabilities':
        values = jax.nn.softmax(values)
    own = np.array([[150, 20], [70, 33]], np.int32)
    ids, top = jax.jit(lambda v, o: decide(v, o, (150, 33), False, confidence=kind))(values, own)
    alone, nothing = decide(values, own, (150, 33), False)
    assert ids.shape == top.shape == (2, 150, 33) and ids.dtype == jnp.uint8 and nothing is None
    np.testing.assert_array_equal(ids, alone)
    for i, (height, width) in enumerate(own.tolist()):
        expected = resize_bilinear(values[i:i + 1], (height, width), False)[0]
        probability = jax.nn.softmax(expected) if kind == 'logits' else expected
        np.testing.assert_array_equal(ids[i, :height, :width], np.argmax(expected, -1))
        np.testing.assert_allclose(top[i, :height, :width], np.max(probability, -1), atol=1e-6)


def test_whole_is_the_network_and_the_canvas_does_not_matter():
    images = pictures(2, (8, 10))
    own = np.array([[21, 25], [16, 20]], np.int32)
    protocol = Protocol('whole', (4, 4), False)
    small, _ = evaluation.infer(positional, WEIGHTS, images, own, (21, 25), protocol)
    large, _ = evaluation.infer(positional, WEIGHTS, images, own, (128, 64), protocol)
    logits = positional(WEIGHTS, views.normalize(jnp.asarray(images)))
    for i, (height, width) in enumerate(own.tolist()):
        expected = np.argmax(resize_bilinear(logits[i:i + 1], (height, width), False)[0], -1)
        np.testing.assert_array_equal(small[i, :height, :width], expected)
        np.testing.assert_array_equal(large[i, :height, :width], expected)


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


@pytest.mark.parametrize('size, window', [((20, 26), (9, 9)), ((9, 30), (9, 12)), ((7, 20), (9, 9)),
                                          ((5, 6), (9, 9))])
def test_sliding_equals_a_loop_over_windows(size, window):
    images = pictures(2, size)
    padded = np.zeros((2, max(size[0], window[0]), max(size[1], window[1]), 3), np.uint8)
    padded[:, :size[0], :size[1]] = images
    stride = [n * 2 // 3 for n in window]
    corners = set()
    for top in range(0, padded.shape[1], stride[0]):
        for left in range(0, padded.shape[2], stride[1]):
            corners.add((min(top, padded.shape[1] - window[0]), min(left, padded.shape[2] - window[1])))
    total, visits = np.zeros((2, *padded.shape[1:3], 4)), np.zeros(padded.shape[1:3])
    for top, left in corners:
        part = padded[:, top:top + window[0], left:left + window[1]]
        here = np.s_[top:top + window[0], left:left + window[1]]
        logits = positional(WEIGHTS, views.normalize(jnp.asarray(part)))
        total[:, here[0], here[1]] += softmax(np.asarray(logits))
        visits[here] += 1
    expected = (total / visits[..., None])[:, :size[0], :size[1]]
    protocol = Protocol('sliding', window, False)
    ours = jax.jit(lambda x: inference.class_values(positional, WEIGHTS, x, protocol))(images)
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    np.testing.assert_allclose(np.sum(ours, -1), 1.0, atol=1e-5)


def test_window_starts_cover_everything_once_shifted_back():
    assert inference.window_starts(801, 801, 534) == [0]
    assert inference.window_starts(1024, 801, 534) == [0, 223]
    assert inference.window_starts(2048, 801, 534) == [0, 534, 1068, 1247]
    assert inference.window_starts(10, 4, 2) == [0, 2, 4, 6]
    assert inference.window_starts(3, 4, 2) == [0]


def test_sliding_memory_does_not_grow_with_windows():
    def temporaries(width):
        image = jax.ShapeDtypeStruct((1, 16, width, 3), jnp.uint8)
        protocol = Protocol('sliding', (16, 16), False)
        slide = jax.jit(lambda x: inference.class_values(heavy, WEIGHTS, x, protocol))
        return slide.lower(image).compile().memory_analysis().temp_size_in_bytes

    def heavy(variables, images):  # 3 -> 1024 channels -> 4 classes
        wide = jax.lax.optimization_barrier(jnp.sin(jnp.repeat(images[..., :1], 1024, -1)))
        return (wide @ jnp.ones((1024, 4))) + images @ variables

    one_window = 16 * 16 * 1024 * 4
    assert temporaries(160) < temporaries(32) + one_window


def test_center_crop_sees_and_scores_the_middle_only():
    images = pictures(1, (12, 15))
    protocol = Protocol('center_crop', (8, 6), False)
    assert inference.middle((12, 15), (8, 6)) == (2, 4, 8, 6)
    assert inference.middle((4, 15), (8, 6)) == (0, 4, 4, 6)
    logits = positional(WEIGHTS, views.normalize(jnp.asarray(images[:, 2:10, 4:10])))
    values = inference.class_values(positional, WEIGHTS, jnp.asarray(images), protocol)
    np.testing.assert_allclose(values[:, 2:10, 4:10], logits, atol=1e-6)
    counted = np.asarray(inference.scored(jnp.array([[12, 15]]), (12, 15), (64, 64), protocol))
    expected = np.zeros((1, 64, 64), bool)
    expected[:, 2:10, 4:10] = True
    np.testing.assert_array_equal(counted, expected)
    # At twice the network's size the window is twice as large.
    counted = np.asarray(inference.scored(jnp.array([[24, 30]]), (12, 15), (24, 30), protocol))
    expected = np.zeros((1, 24, 30), bool)
    expected[:, 4:20, 8:20] = True
    np.testing.assert_array_equal(counted, expected)


def test_whole_scores_exactly_the_image():
    protocol = Protocol('whole', (1, 1), True)
    counted = np.asarray(inference.scored(jnp.array([[5, 7], [64, 64]]), (8, 8), (64, 64), protocol))
    assert counted[0, :5, :7].all() and counted[0].sum() == 35 and counted[1].all()


def test_protocol_from_config():
    config = base()
    config.data.crop = (128, 160)
    config.eval.mode = 'sliding'
    protocol = evaluation.protocol_from(config)
    assert protocol == Protocol('sliding', (128, 160), False) and protocol.stride == (85, 106)
    assert evaluation.describe(config)['stride'] == [85, 106]
    config.eval.window = (96, 90)
    assert evaluation.protocol_from(config).window == (96, 90)
    config.eval.multiple = 16
    with pytest.raises(InputError, match=r'eval.window=\(96, 90\).*multiples of 16'):
        evaluation.protocol_from(config)
    config.eval.mode = 'whole'
    assert evaluation.protocol_from(config).mode == 'whole'
    config.eval.mode = 'tiles'
    with pytest.raises(InputError, match='tiles.*\n.*whole, sliding, center_crop'):
        evaluation.protocol_from(config)
