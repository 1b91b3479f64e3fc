"""Optimisers against the update rules written out in NumPy; schedules, groups, scaling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from s4mim_jax.config.errors import InputError
from s4mim_jax.training.optimizer import base_learning_rate, make_optimizer, parameter_groups, schedule


def follow(config, start, gradients):
    """Parameters after the updates, with encoder and decoder starting alike."""
    optimizer = make_optimizer(config)
    params = {'encoder': {'w': jnp.asarray(start)}, 'decoder': {'w': jnp.asarray(start)}}
    state = optimizer.init(params)
    for gradient in gradients:
        grads = jax.tree.map(lambda _: jnp.asarray(gradient), params)
        updates, state = optimizer.update(grads, state, params)
        params = jax.tree.map(jnp.add, params, updates)
    return np.asarray(params['encoder']['w']), np.asarray(params['decoder']['w'])


@pytest.fixture
def problem():
    draw = np.random.default_rng(0)
    return draw.normal(size=5).astype(np.float32), draw.normal(size=(4, 5)).astype(np.float32)


def make(**changes):
    defaults = dict(optimizer__schedule='constant', optimizer__learning_rate=0.1, optimizer__reference_batch=8,
                    optimizer__weight_decay=0.3)
    return tiny.config('supervised', **defaults | changes)


def test_sgd_decays_before_momentum_as_pytorch_does(problem):
    start, gradients = problem
    w, velocity = start.astype(np.float64), 0.0
    for g in gradients:
        velocity = 0.9 * velocity + g + 0.3 * w
        w = w - 0.1 * velocity
    np.testing.assert_allclose(follow(make(), start, gradients)[0], w, rtol=1e-5)


@pytest.mark.parametrize('name', ['adamw', 'adam', 'amsgrad'])
def test_adam_family(problem, name):
    start, gradients = problem
    w, m, v, largest = start.astype(np.float64), 0.0, 0.0, 0.0
    gradients = gradients * np.float32([[4.0], [0.1], [0.05], [1.0]])  # a maximum that holds for a while
    for t, g in enumerate(gradients.astype(np.float64), 1):
        g = g if name == 'adamw' else g + 0.3 * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        largest = np.maximum(largest, v)  # torch.optim.Adam: of the raw moments, corrected afterwards
        second = (largest if name == 'amsgrad' else v) / (1 - 0.999**t)
        step = m / (1 - 0.9**t) / (np.sqrt(second) + 1e-8)
        w = w - 0.1 * (step + (0.3 * w if name == 'adamw' else 0))
    np.testing.assert_allclose(follow(make(optimizer__name=name), start, gradients)[0], w, rtol=1e-4)


def test_heads_learn_faster_by_the_multiplier(problem):
    start, gradients = problem
    encoder, head = follow(make(optimizer__head_multiplier=10.0, optimizer__momentum=0.0), start, gradients[:1])
    np.testing.assert_allclose(head - start, 10 * (encoder - start), rtol=1e-5)


def test_clipping_limits_the_global_norm(problem):
    start, gradients = problem
    quiet = dict(optimizer__weight_decay=0.0, optimizer__momentum=0.0)
    free = follow(make(**quiet), start, gradients[:1])[0] - start
    clipped = follow(make(**quiet, optimizer__clip_norm=0.5), start, gradients[:1])[0] - start
    norm = np.sqrt(2) * np.linalg.norm(gradients[0])  # encoder and decoder together
    np.testing.assert_allclose(clipped, free * 0.5 / norm, rtol=1e-5)


def test_schedules():
    steps = np.array([0, 3, 9, 10])
    value = lambda **c: np.array([float(schedule(make(total_steps=10, **c))(s)) for s in steps])
    np.testing.assert_allclose(value(optimizer__schedule='poly'), (1 - steps / 10) ** 0.9, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(value(optimizer__schedule='cosine'), (1 + np.cos(np.pi * steps / 10)) / 2, atol=1e-6)
    np.testing.assert_allclose(value(), 1.0)
    np.testing.assert_allclose(value(optimizer__warmup_steps=5), [0.2, 0.8, 1.0, 1.0], rtol=1e-6)


def test_learning_rate_scales_with_the_global_batch():
    config = make(batch=32)
    assert base_learning_rate(config) == pytest.approx(0.4)
    config.batch.accumulate = 4  # micro-batches change nothing: the batch is global, per update
    assert base_learning_rate(config) == pytest.approx(0.4)


def test_a_parameter_in_no_group_is_an_error():
    with pytest.raises(InputError, match='teacher'):
        parameter_groups({'teacher': {'w': jnp.zeros(2)}})


@pytest.mark.parametrize('name', ['sgd', 'adamw'])
def test_a_held_encoder_stays_and_has_no_moments(problem, name):
    start, gradients = problem
    free = follow(make(optimizer__name=name, optimizer__clip_norm=0.0), start, gradients)
    held = follow(make(optimizer__name=name, optimizer__clip_norm=0.0, model__freeze_encoder=True), start, gradients)
    np.testing.assert_array_equal(held[0], start)
    np.testing.assert_allclose(held[1], free[1], rtol=1e-6)
    state = make_optimizer(make(optimizer__name='adamw', model__freeze_encoder=True)).init(
        {'encoder': {'w': jnp.zeros(1000)}, 'decoder': {'w': jnp.zeros(3)}})
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) < 20
