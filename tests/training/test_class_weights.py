"""Class weights: the formulas, the loss and what a run makes of them, against NumPy."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pipeline_world
import pytest
import tiny
import tiny_network

from s4mim_jax import terms
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.parallel import Collectives, make_mesh
from s4mim_jax.planning.class_weights import balanced, with_class_weights
from s4mim_jax.training import create_state, make_train_step
from s4mim_jax.training.step import _value

DRAW = np.random.default_rng(0)
LOGITS = DRAW.normal(size=(2, 5, 6, 3)).astype(np.float32)
LABEL = np.where(DRAW.random((2, 5, 6)) < 0.2, 255, DRAW.integers(0, 3, (2, 5, 6)))


def test_inverse_frequency():
    weights = balanced(np.array([600, 0, 300, 100]), 'inverse')
    np.testing.assert_allclose(weights, [1000 / 3 / 600, 1, 1000 / 3 / 300, 1000 / 3 / 100])
    assert np.sum(weights * [600, 0, 300, 100]) == pytest.approx(1000)


def test_effective_number():
    counts = np.array([6000, 3000, 995, 5])
    beta = 1 - 4 / 10000
    raw = (1 - beta) / (1 - beta ** counts)
    weights = balanced(counts, 'effective')
    np.testing.assert_allclose(weights, raw * 10000 / np.sum(raw * counts), rtol=1e-9)
    inverse = balanced(counts, 'inverse')
    assert weights[1] / weights[0] < inverse[1] / inverse[0] and weights[3] / weights[2] > 100
    np.testing.assert_array_equal(balanced(np.zeros(2), 'effective'), [1, 1])


@pytest.mark.parametrize('kind', ['ce', 'ohem'])
def test_weighted_loss_over_the_number_of_pixels(kind):
    weights = (0.5, 3.0, 1.25)
    method = tiny.config('supervised', method__class_weights=weights, method__supervised_loss=kind).method
    exp = np.exp(LOGITS - LOGITS.max(-1, keepdims=True))
    true = np.where(LABEL == 255, 0, LABEL)
    loss = -np.log(np.take_along_axis(exp / exp.sum(-1, keepdims=True), true[..., None], -1))[..., 0]
    known = LABEL != 255
    expected = {'masked_supervision': (loss * np.array(weights)[true])[known].sum() / known.sum()}
    if kind == 'ohem':  # chosen by the loss without weights; not on masked copies
        known &= loss >= -np.log(method.ohem_threshold)
        assert known.sum((1, 2)).min() >= round(method.ohem_keep * 30)
    expected['supervised'] = (loss * np.array(weights)[true])[known].sum() / known.sum()
    logits = {'x': jnp.asarray(LOGITS), 'x_masked': jnp.asarray(LOGITS)}
    forward = SimpleNamespace(logits=logits, label=jnp.asarray(LABEL), method=method)
    for term, wanted in expected.items():
        assert float(_value(terms.TERMS[term].loss(forward), Collectives())) == pytest.approx(wanted, rel=1e-5)


def test_weights_of_a_dataset():
    masks = [np.repeat([0, 0, 0, 1, 255], 24).reshape(10, 12).astype(np.uint8), np.full((10, 12), 2, np.uint8)]
    images = [pipeline_world.encoded(pipeline_world.flat(i)) for i in range(2)]
    world = pipeline_world.World(images, [pipeline_world.encoded(m) for m in masks])
    config = tiny.config('supervised')
    assert with_class_weights(config, world.source, world.samples) is config
    config.method.class_balance = 'inverse'
    found = with_class_weights(config, world.source, world.samples).method.class_weights
    np.testing.assert_allclose(found, [216 / 3 / 72, 216 / 3 / 24, 216 / 3 / 120, 1], atol=1e-6)
    again = with_class_weights(config, world.source, world.samples)
    assert with_class_weights(again, world.source, ()) is again  # as a resumed run finds them
    config.method.class_weights = (1.0, 2.0)
    with pytest.raises(InputError, match=r'class_weights=\(1.0, 2.0\): 2 numbers for 4 classes\n.*kind0, kind1'):
        with_class_weights(config, world.source, world.samples)


@pytest.mark.parametrize('value', [(1.0, -1.0), ('a',)])
def test_bad_weights_are_refused(value):
    config = tiny.config('supervised', method__class_weights=value)
    with pytest.raises(InputError, match='method.class_weights=.*a number from 0 on for each class'):
        validate(config)
    with pytest.raises(InputError, match='method.class_balance=often: valid: none, inverse, effective'):
        validate(tiny.config('supervised', method__class_balance='often'))


def test_both_partitions_weigh_alike(monkeypatch):
    tiny_network.replace(monkeypatch)
    losses = {}
    for partition in ('jit', 'shard_map'):
        for weights in ((), (0.2, 4.0, 1.0, 1.0, 1.0)):
            config = tiny.config('supervised', partition=partition, method__class_weights=weights, crop=(32, 32),
                                 model__output_stride=8)
            mesh = make_mesh(config)
            step = make_train_step(config, tiny.CLASSES, mesh)
            _, metrics = step(create_state(config, tiny.CLASSES, mesh), tiny.batch(config))
            losses[partition, bool(weights)] = float(metrics['loss'].total)
    assert losses['jit', True] == pytest.approx(losses['shard_map', True], rel=1e-4)
    assert abs(losses['jit', True] - losses['jit', False]) > 0.01
