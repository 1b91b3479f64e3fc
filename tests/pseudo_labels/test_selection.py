"""The selection slot against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from plain_s4mc import naive_margin

from s4mim_jax.models import resize_bilinear
from s4mim_jax.pseudo_labels import Maps, margin, nearest, neighbor_union, select

DRAW = np.random.default_rng(0)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(np.float32)


COARSE = softmax(DRAW.normal(size=(3, 6, 8, 4)) * 2)
FULL = np.asarray(resize_bilinear(jnp.asarray(COARSE), (24, 32), False))
SINGLE = softmax(np.log(FULL) * 2)  # sharper than the ensemble
VALID = np.ones((3, 24, 32), bool)
VALID[0, 16:] = False
MAPS = Maps(jnp.asarray(FULL), jnp.asarray(COARSE), jnp.asarray(SINGLE))


def choose(progress=0.0, **rule):
    tau = rule.pop('tau', 0.6)
    method = tiny.config('fixmatch').method
    method.tau = tau
    method.selection.update(rule)
    return jax.device_get(select(MAPS, jnp.asarray(VALID), method, progress=progress))


def up(score):
    return np.asarray(resize_bilinear(jnp.asarray(score)[..., None], (24, 32), False))[..., 0]


def test_confidence_threshold():
    target = choose()
    np.testing.assert_array_equal(target.label, FULL.argmax(-1))
    np.testing.assert_array_equal(target.kept, VALID & (FULL.max(-1) >= 0.6))
    np.testing.assert_array_equal(target.kept, target.unrefined)


def test_the_partition_goes_from_alpha_to_alpha_end_in_even_steps():
    pixels = np.sort(naive_margin(FULL)[VALID])
    for progress, alpha in ((0.0, 0.4), (0.5, 0.275), (1.0, 0.15)):
        kept = choose(progress, threshold='partition', alpha=0.4, alpha_end=0.15).kept
        gamma = pixels[int(np.floor(np.float32(alpha) * (pixels.size - 1)))]
        assert kept.sum() == pytest.approx((pixels > gamma).sum(), abs=2), progress  # rounding near the threshold


@pytest.mark.parametrize('resolution', ['logits', 'full'])
@pytest.mark.parametrize('refinement', ['none', 'union'])
@pytest.mark.parametrize('progress', [0.0, 0.75])
def test_partition_takes_gamma_from_the_raw_and_tests_the_refined(resolution, refinement, progress):
    target = choose(progress, threshold='partition', refinement=refinement, resolution=resolution, alpha=0.4)
    probs = COARSE if resolution == 'logits' else FULL
    seen = np.asarray(nearest(jnp.asarray(VALID), probs.shape[1:3]))
    raw = naive_margin(probs)
    ordered = np.sort(raw[seen])
    gamma = ordered[int(np.floor(np.float32(0.4 * (1 - progress)) * np.float32(len(ordered) - 1)))]
    refined = raw if refinement == 'none' else naive_margin(np.asarray(
        neighbor_union(jnp.asarray(probs), valid=jnp.asarray(seen))))
    full = up if resolution == 'logits' else (lambda m: m)
    expected = VALID & (full(refined) > gamma)
    # Interpolation rounds differently by one ulp: leave out what lies on the threshold.
    clear = abs(full(refined) - gamma) > 1e-5
    np.testing.assert_array_equal(target.kept[clear], expected[clear])
    np.testing.assert_array_equal(target.label, FULL.argmax(-1))  # the label is the raw map's
    assert 0 < target.kept.sum() < VALID.sum()
    if refinement == 'none':
        np.testing.assert_array_equal(target.kept, target.unrefined)
    else:
        assert (target.kept != target.unrefined).any()


def test_refinement_alone_uses_a_fixed_margin():
    target = choose(threshold='margin', refinement='union', resolution='full', tau_margin=0.3)
    refined = naive_margin(np.asarray(neighbor_union(jnp.asarray(FULL), valid=jnp.asarray(VALID))))
    clear = abs(refined - 0.3) > 1e-5
    np.testing.assert_array_equal(target.kept[clear], (VALID & (refined >= 0.3))[clear])


def test_alpha_falls_to_zero_and_keeps_more_and_more():
    kept = [choose(t, threshold='partition', resolution='full').kept.sum() for t in (0.0, 0.5, 1.0)]
    assert kept[0] < kept[1] < kept[2]
    assert kept[2] == VALID.sum() - 1  # all but the smallest margin itself


def test_image_scope_has_a_threshold_an_image():
    image = choose(threshold='partition', resolution='full', scope='image')
    shares = [image.kept[i].sum() / VALID[i].sum() for i in range(3)]
    np.testing.assert_allclose(shares, 0.6, atol=0.005)
    assert (image.kept != choose(threshold='partition', resolution='full').kept).any()


def test_coherence_is_a_different_refinement():
    union = choose(threshold='partition', refinement='union', resolution='full')
    table = choose(threshold='partition', refinement='coherence', resolution='full', coherence=(0.9, 0.8, 0.7, 0.99))
    assert (union.kept != table.kept).any()


def test_matched_controls_keep_the_same_number_by_another_score():
    refined = choose(threshold='partition', refinement='union')
    control = choose(threshold='partition', refinement='union', matched='unrefined')
    assert control.kept.sum() == refined.kept.sum() and (control.kept != refined.kept).any()
    raw = naive_margin(FULL)
    assert raw[control.kept].min() >= raw[VALID & ~control.kept].max()

    matched = choose(matched='single_scale')
    count = (VALID & (SINGLE.max(-1) >= 0.6)).sum()
    assert matched.kept.sum() == count > choose().kept.sum()
    confidence = FULL.max(-1)
    assert confidence[matched.kept].min() >= confidence[VALID & ~matched.kept].max()


def test_nothing_valid_keeps_nothing():
    method = tiny.config('fixmatch').method
    for rule in (dict(threshold='partition', refinement='union'), dict(matched='single_scale'),
                 dict(threshold='partition', refinement='union', matched='unrefined')):
        method.selection.update(dict(refinement='none', threshold='confidence', matched='none') | rule)
        target = select(MAPS, jnp.zeros_like(VALID), method)
        assert not np.asarray(target.kept).any() and np.isfinite(target.confidence).all()


@pytest.mark.parametrize('method', ['fixmatch', 's4mc'])
def test_what_is_selected_has_no_gradient(method):
    """The confidence is the one differentiable thing in a target; it is the top of the map `full`."""
    method = tiny.config(method).method
    total = lambda maps: jnp.sum(select(maps, jnp.asarray(VALID), method).confidence)
    assert float(total(MAPS)) == pytest.approx(FULL.max(-1).sum(), rel=1e-5)
    assert not any(np.asarray(field).any() for field in jax.grad(total)(MAPS))


def test_a_margin_has_no_gradient():
    assert margin(MAPS.coarse).shape == (3, 6, 8)
    assert not np.asarray(jax.grad(lambda probs: jnp.sum(margin(probs)))(MAPS.coarse)).any()
