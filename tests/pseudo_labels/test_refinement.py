"""Neighbour union and margin: the worked examples, properties, and a plain loop over pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from plain_s4mc import naive_union

from s4mim_jax.config.errors import InputError
from s4mim_jax.pseudo_labels import margin, neighbor_union, partition_threshold

# Worked examples: class scores of a 3 x 3 map and, for each connectivity, the refined scores and margins.
INTERIOR = [[.6, .7, .6, .7, .4, .8, .6, .7, .6],
            [.3, .2, .3, .2, .35, .1, .3, .2, .3],
            [.1, .1, .1, .1, .25, .1, .1, .1, .1]]
INTERIOR_4 = [[.88, .88, .92, .88, .88, .92, .88, .88, .92],
              [.44, .48, .44, .48, .48, .415, .44, .48, .44],
              [.19, .325, .19, .325, .325, .325, .19, .325, .19]]
INTERIOR_8 = [[.88, .94, .92, .91, .88, .94, .88, .94, .92],
              [.545, .48, .545, .48, .545, .415, .545, .48, .545],
              [.325] * 9]
BOUNDARY = [[.9, .6, .1, .9, .5, .1, .9, .6, .1],
            [.05, .3, .8, .05, .4, .8, .05, .3, .8],
            [.05, .1, .1, .05, .1, .1, .05, .1, .1]]


def as_map(scores):
    return jnp.asarray(np.array(scores, np.float32).T.reshape(1, 3, 3, -1))


def kept(probs, refined):
    """S4MC's selection at t = 0: threshold from the raw margins, test on the refined ones."""
    valid = jnp.ones(probs.shape[:3], bool)
    gamma = partition_threshold(margin(probs), valid, 0.4)
    return float(gamma), int((margin(probs) > gamma).sum()), int((margin(refined) > gamma).sum())


@pytest.mark.parametrize('connectivity, scores, margins', [
    (4, INTERIOR_4, [.44, .40, .48, .40, .40, .505, .44, .40, .48]),
    (8, INTERIOR_8, [.335, .46, .375, .43, .335, .525, .335, .46, .375])])
def test_worked_example_of_a_hesitant_interior_pixel(connectivity, scores, margins):
    probs = as_map(INTERIOR)
    refined = neighbor_union(probs, connectivity=connectivity)
    np.testing.assert_allclose(refined, as_map(scores), atol=1e-6)
    np.testing.assert_allclose(margin(refined).ravel(), margins, atol=1e-6)
    gamma, raw, after = kept(probs, refined)
    assert gamma == pytest.approx(0.3, abs=1e-6) and (raw, after) == (4, 9)


def test_worked_example_of_a_boundary():
    probs = as_map(BOUNDARY)
    refined = neighbor_union(probs, connectivity=4)
    np.testing.assert_allclose(margin(probs).ravel(), [.85, .3, .7, .85, .1, .7, .85, .3, .7], atol=1e-6)
    after = [.655, .1, .32, .56, .07, .41, .655, .1, .32]
    np.testing.assert_allclose(margin(refined).ravel(), after, atol=1e-6)
    gamma, raw, after = kept(probs, refined)
    assert gamma == pytest.approx(0.7, abs=1e-6) and (raw, after) == (3, 0)


def random_probs(seed, shape, sharpness=2.0):
    return jax.nn.softmax(sharpness * jax.random.normal(jax.random.key(seed), shape))


def test_a_flat_region_of_two_classes_keeps_its_margin():
    probs = jnp.broadcast_to(random_probs(0, (50, 1, 1, 2)), (50, 5, 6, 2))
    np.testing.assert_allclose(margin(neighbor_union(probs)), margin(probs), atol=1e-6)


def test_union_never_lowers_a_score_and_coherence_can():
    probs = random_probs(1, (2, 12, 15, 4))
    valid = jax.random.bernoulli(jax.random.key(2), 0.5, (2, 12, 15))
    for neighbors, decay in ((1, None), (3, 0.5)):
        union = neighbor_union(probs, valid=valid, neighbors=neighbors, decay=decay)
        assert bool((union >= probs).all()) and bool((union <= 1.0 + 1e-6).all())
    lowered = neighbor_union(probs, coherence=jnp.full(4, 0.95))
    assert bool((lowered < probs - 0.05).any())


def test_no_coherence_is_the_union():
    probs = random_probs(3, (1, 8, 8, 3))
    np.testing.assert_allclose(neighbor_union(probs, coherence=jnp.zeros(3), neighbors=2, decay=0.5),
                               neighbor_union(probs, neighbors=2, decay=0.5), atol=1e-6)


def test_the_margin_collapses_across_a_boundary():
    """Two sure regions meet: at the seam both classes gain, away from it nothing changes."""
    left = (jnp.arange(10) < 5)[:, None]
    row = jnp.where(left, jnp.array([.95, .05]), jnp.array([.05, .95]))
    probs = jnp.broadcast_to(row, (1, 6, 10, 2))
    refined = margin(neighbor_union(probs))[0]
    np.testing.assert_allclose(refined[:, jnp.array([0, 1, 2, 3, 6, 7, 8, 9])], 0.9, atol=1e-6)
    assert float(refined[:, 4:6].max()) < 0.1


def test_pixels_that_are_not_valid_lend_nothing():
    probs = random_probs(4, (1, 7, 7, 3))
    valid = jnp.ones((1, 7, 7), bool).at[0, 3, 3].set(False)
    spoiled = probs.at[0, 3, 3].set(jnp.array([jnp.nan, 1.0, 0.0]))
    there = np.asarray(valid)
    expected = neighbor_union(probs.at[0, 3, 3].set(0.0))
    np.testing.assert_array_equal(np.asarray(neighbor_union(spoiled, valid=valid))[there],
                                  np.asarray(expected)[there])


def test_images_of_a_batch_do_not_mix():
    probs = random_probs(5, (3, 6, 5, 3))
    alone = jnp.concatenate([neighbor_union(p[None], neighbors=2) for p in probs])
    np.testing.assert_array_equal(neighbor_union(probs, neighbors=2), alone)


def patchwork(seed, shape=(2, 60, 78, 3), patch=6):
    """Patches of one class each, some sure and some hesitant, with noise: neighbours mostly agree."""
    batch, height, width, classes = shape
    of_class, sure, noise = jax.random.split(jax.random.key(seed), 3)
    coarse = (batch, height // patch, width // patch)
    evidence = (jax.nn.one_hot(jax.random.randint(of_class, coarse, 0, classes), classes)
                * 4.0 * jax.random.uniform(sure, coarse + (1,)))
    evidence = jnp.repeat(jnp.repeat(evidence, patch, 1), patch, 2)
    return jax.nn.softmax(evidence + 0.5 * jax.random.normal(noise, shape))


OPTIONS = [dict(), dict(connectivity=4), dict(decay=0.5), dict(neighbors=2),
           dict(neighbors=4, connectivity=4), dict(neighbors=3, decay=0.5),
           dict(window=5, connectivity=4, decay=0.3), dict(window=5, neighbors=2),
           dict(coherence=True), dict(coherence=True, neighbors=2, decay=0.5),
           dict(coherence=True, neighbors=2, connectivity=4)]


def name_of(options):
    return '-'.join(f'{key}{value}' for key, value in options.items()) or 'default'


@pytest.mark.parametrize('options', OPTIONS, ids=name_of)
def test_random_maps_against_a_loop_over_pixels(options):
    """About 10^5 decisions over all options: raw threshold, refined test, none differs outside ties."""
    settings = dict(window=3, connectivity=8, neighbors=1, decay=None) | options
    table = np.array([0.98, 0.6, 0.3], np.float32) if settings.pop('coherence', None) else None
    probs = patchwork(len(str(options)))
    valid = jax.random.bernoulli(jax.random.key(7), 0.9, probs.shape[:3])
    refine = jax.jit(lambda p, v: neighbor_union(p, valid=v, coherence=table, **settings))
    refined = np.asarray(refine(probs, valid))
    expected = np.stack([naive_union(np.asarray(p), np.asarray(v).tolist(), coherence=table, **settings)
                         for p, v in zip(probs, valid)])
    np.testing.assert_allclose(refined, expected, atol=2e-6)

    raw = np.sort(np.asarray(probs), axis=-1)
    raw = (raw[..., -1] - raw[..., -2])[np.asarray(valid)]
    gamma = np.sort(raw)[int(0.4 * (raw.size - 1))]
    ordered = np.sort(expected, axis=-1)
    distance = ordered[..., -1] - ordered[..., -2] - gamma
    decided = np.abs(distance) > 1e-5
    assert decided.mean() > 0.999 and 0.05 < (distance > 0).mean() < 0.95
    keep = margin(refined) > partition_threshold(margin(probs), valid, 0.4)
    np.testing.assert_array_equal(np.asarray(keep)[decided], (distance > 0)[decided])


def test_margin_against_a_sort():
    probs = np.array(random_probs(6, (4, 9, 8, 7)))
    probs[0, 0, 0] = 1.0 / 7.0
    probs[0, 0, 1, :2], probs[0, 0, 1, 2:] = 0.4, 0.04
    ordered = np.sort(probs, axis=-1)
    margins = np.asarray(margin(probs))
    np.testing.assert_array_equal(margins, ordered[..., -1] - ordered[..., -2])
    assert margins[0, 0, 0] == margins[0, 0, 1] == 0.0
    assert float(margin(jnp.array([0.1, 0.7]))) == pytest.approx(0.6)


def test_margin_needs_two_classes():
    with pytest.raises(ValueError, match=r'two classes .*\(2, 2, 1\)'):
        margin(jnp.ones((2, 2, 1)))


@pytest.mark.parametrize('options, words', [
    (dict(window=4), 'window 4'), (dict(connectivity=6), 'connectivity 6'),
    (dict(connectivity=4, neighbors=5), '1 to 4'), (dict(neighbors=0), '1 to 8')])
def test_impossible_neighbourhoods_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        neighbor_union(jnp.ones((1, 4, 4, 2)), **options)


def sizes_and_names(jaxpr):
    """The elements of every intermediate array, and the names of all primitives, inner programs too."""
    sizes, names = [], set()
    for equation in jaxpr.eqns:
        names.add(equation.primitive.name)
        sizes += [variable.aval.size for variable in equation.outvars if hasattr(variable.aval, 'size')]
        for inner in jaxprs_in_params(equation.params):
            more, called = sizes_and_names(inner)
            sizes, names = sizes + more, names | called
    return sizes, names


@pytest.mark.parametrize('options', [dict(), dict(neighbors=3, decay=0.5, coherence=True), dict(window=5, neighbors=2)],
                         ids=name_of)
def test_the_neighbourhood_is_never_stacked(options):
    probs = jnp.ones((2, 24, 32, 5))
    given = options | dict(coherence=jnp.ones(5)) if 'coherence' in options else options
    sizes, _ = sizes_and_names(jax.make_jaxpr(lambda p: neighbor_union(p, **given))(probs).jaxpr)
    assert probs.size <= max(sizes) < 1.5 * probs.size  # the largest is the padded map


def test_a_margin_is_not_sorted():
    _, names = sizes_and_names(jax.make_jaxpr(margin)(jnp.ones((2, 24, 32, 5))).jaxpr)
    assert 'reduce_max' in names and not [name for name in names if 'sort' in name or 'top_k' in name]
