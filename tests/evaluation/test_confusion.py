"""Counting and scoring against plain NumPy loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from s4mim_jax import evaluation
from s4mim_jax.evaluation import confusion


def counted(labels, predictions, classes, ignore=255):
    matrix = np.zeros((classes, classes), np.int64)
    for label, prediction in zip(np.ravel(labels).tolist(), np.ravel(predictions).tolist()):
        if label != ignore and 0 <= label < classes and 0 <= prediction < classes:
            matrix[label, prediction] += 1
    return matrix


@pytest.mark.parametrize('shape', [(40,), (2, 7, 9), (3, 4, 5, 2), (0, 4)])
def test_equals_a_loop(shape):
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 2, 3, 4, 5, 99, 255], shape).astype(np.uint8)
    predictions = rng.integers(0, 5, shape).astype(np.uint8)
    ours = jax.jit(lambda l, p: evaluation.confusion_matrix(l, p, 5))(labels, predictions)
    assert ours.dtype == jnp.int32
    np.testing.assert_array_equal(ours, counted(labels, predictions, 5))


def test_ignored_class_and_values_outside():
    labels = np.array([0, 1, 2, -1, 3, 1, 2], np.int32)
    predictions = np.array([0, 1, 1, 0, 0, -1, 3], np.int32)
    np.testing.assert_array_equal(evaluation.confusion_matrix(labels, predictions, 3),
                                  [[1, 0, 0], [0, 1, 0], [0, 1, 0]])
    np.testing.assert_array_equal(evaluation.confusion_matrix(labels, predictions, 3, ignore=2),
                                  [[1, 0, 0], [0, 1, 0], [0, 0, 0]])
    with pytest.raises(ValueError, match='differ in shape'):
        evaluation.confusion_matrix(labels, predictions[:-1], 3)


def test_the_form_for_tpus_is_the_same():
    rng = np.random.default_rng(1)
    labels, predictions = rng.integers(0, 8, (3, 500)), rng.integers(0, 7, (3, 500))  # label 7 = left out
    np.testing.assert_array_equal(confusion._multiplied(labels, predictions, 7),
                                  confusion._scattered(labels, predictions, 7))


def test_exact_beyond_what_float32_counts():
    labels = jnp.zeros(2**24 + 3, jnp.uint8)
    assert int(evaluation.confusion_matrix(labels, labels, 2)[0, 0]) == 2**24 + 3


def test_a_batch_spread_over_devices_is_counted_in_place():
    mesh = Mesh(np.asarray(jax.devices()), ('data',))
    rng = np.random.default_rng(2)
    labels, predictions = rng.integers(0, 4, (2, len(jax.devices()) * 2, 6, 5))
    spread = NamedSharding(mesh, PartitionSpec('data'))
    count = jax.jit(lambda l, p: evaluation.confusion_matrix(l, p, 4))
    arguments = jax.device_put(labels, spread), jax.device_put(predictions, spread)
    np.testing.assert_array_equal(count(*arguments), counted(labels, predictions, 4))
    text = count.lower(*arguments).compile().as_text()
    assert 'all-reduce' in text and 'all-gather' not in text and 'collective-permute' not in text


def test_scores():
    matrix = np.array([[6, 2, 0, 0], [1, 3, 0, 0], [0, 0, 0, 0], [0, 4, 0, 0]])
    result = evaluation.scores(matrix, ['sky', 'road', 'nothing', 'missed'])
    assert result['iou'] == {'sky': pytest.approx(6 / 9), 'road': pytest.approx(3 / 10), 'nothing': None,
                             'missed': 0.0}
    assert result['miou'] == pytest.approx((6 / 9 + 3 / 10 + 0) / 3)
    assert result['pixel_accuracy'] == pytest.approx(9 / 16)
    nothing = evaluation.scores(np.zeros((1, 1)), ['a'])
    assert nothing == {'miou': None, 'iou': {'a': None}, 'pixel_accuracy': None}
    with pytest.raises(ValueError, match='does not fit 3 classes'):
        evaluation.scores(matrix, ['a', 'b', 'c'])


def test_scores_of_counts_larger_than_32_bits():
    matrix = np.array([[3 * 10**10, 10**10], [0, 10**10]])
    assert evaluation.scores(matrix, ['a', 'b'])['pixel_accuracy'] == pytest.approx(0.8)
