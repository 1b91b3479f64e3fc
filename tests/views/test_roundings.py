"""What is compared with a threshold taken from it: as many pixels, in whatever way values are rounded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from roundings import rounded_anew

from s4mim_jax.models.feature_grid import FeatureGrid
from s4mim_jax.pseudo_labels import Maps, select
from s4mim_jax.terms.supervised import hard_pixels

SEEDS = range(8)
ONE = (1, 1, 1)  # a lone pixel is its own threshold


def chosen(seed, **rule):
    method = tiny.config('fixmatch').method
    method.tau = 0.5
    method.selection.update(rule)

    def target(logits):
        probs = jax.nn.softmax(logits)
        return select(Maps(probs, probs, probs), jnp.ones(ONE, bool), method)

    return rounded_anew(target, jnp.float32([0.3, 1.9, -0.4]).reshape(*ONE, 3), seed=seed)


@pytest.mark.parametrize('seed', SEEDS)
def test_no_margin_is_above_the_largest(seed):
    assert not chosen(seed, threshold='partition', refinement='none', resolution='full', alpha=1.0).kept.any()


@pytest.mark.parametrize('seed', SEEDS)
def test_as_many_are_kept_as_another_filter_keeps(seed):
    assert chosen(seed, threshold='confidence', matched='single_scale').kept.all()


@pytest.mark.parametrize('seed', SEEDS)
def test_as_many_losses_are_hard_as_an_image_must_keep(seed):
    known = jnp.ones(ONE, bool)
    assert rounded_anew(lambda x: hard_pixels(3 * x - x, known, 0.01, 1.0), jnp.full(ONE, 0.7), seed=seed).all()


@pytest.mark.parametrize('align', [False, True])
def test_half_of_a_large_square_is_counted_and_not_shared(align):
    positions = FeatureGrid(64, align)
    whole = np.flatnonzero(positions.of_pixels(192) == 1)
    marked = np.zeros((2, 192, 192), bool)
    marked[:, whole[:32, None], whole] = True  # half of the square of 4,096 pixels
    marked[1, whole[0], whole[0]] = False
    largely = jax.jit(positions.largely)(marked)
    assert largely[0, 1, 1] and not largely[1, 1, 1]
