"""Weights over time: ramps and schedules of every term."""

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from s4mim_jax import terms
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.terms.weights import weight


@pytest.mark.parametrize('name', terms.TERMS)
def test_a_weight_follows_its_ramp_and_its_schedule(name):
    shares = np.float32([0.0, 0.1, 0.2, 0.35, 0.5, 1.0])
    curve = lambda **changes: [float(weight(tiny.config('union', **{
        f'method__{name}{k}': v for k, v in changes.items()}).method, name, jnp.float32(p))) for p in shares]
    assert curve(**{'': 0.7}) == [0.7] * len(shares)
    np.testing.assert_allclose(curve(**{'': 0.8, '_ramp': 0.2}), [0, 0.4, 0.8, 0.8, 0.8, 0.8], rtol=1e-5)
    points = ((0.2, 0.0), (0.5, 1.5))
    np.testing.assert_allclose(curve(**{'': 2.0, '_schedule': points}), [0, 0, 0, 1.5, 3, 3], atol=1e-6)


def test_a_weight_that_does_not_change_is_a_number_of_the_program():
    assert weight(tiny.config('fixmatch').method, 'consistency', jnp.float32(0.5)) == 0.5


@pytest.mark.parametrize('key, value', [
    ('consistency', -0.1), ('consistency_ramp', 1.5), ('similarity_schedule', (0.2, 0.3)),
    ('similarity_schedule', ((0.5, 1.0), (0.2, 0.0))), ('similarity_schedule', ((0.1, -1.0),))])
def test_a_bad_weight_is_refused_by_name(key, value):
    config = tiny.config('fixmatch', **{f'method__{key}': value})
    with pytest.raises(InputError, match=f'method.{key}='):
        validate(config)


def test_ramp_and_schedule_of_one_term_are_not_both():
    config = tiny.config('fixmatch', method__consistency_ramp=0.1, method__consistency_schedule=((0.0, 1.0),))
    with pytest.raises(InputError, match='consistency_schedule says already'):
        validate(config)
