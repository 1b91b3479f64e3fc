"""The selection slot and the teacher's ensemble against plain NumPy."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from s4mim_jax.models import resize_bilinear
from s4mim_jax.pseudo_labels import Maps, ensemble, margin, nearest, neighbor_union, select, snapped

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


def margin_np(p):
    top = np.sort(p, -1)
    return top[..., -1] - top[..., -2]


def up(score):
    return np.asarray(resize_bilinear(jnp.asarray(score)[..., None], (24, 32), False))[..., 0]


def test_confidence_threshold():
    target = choose()
    np.testing.assert_array_equal(target.label, FULL.argmax(-1))
    np.testing.assert_array_equal(target.kept, VALID & (FULL.max(-1) >= 0.6))
    np.testing.assert_array_equal(target.kept, target.unrefined)


@pytest.mark.parametrize('resolution', ['logits', 'full'])
@pytest.mark.parametrize('refinement', ['none', 'union'])
@pytest.mark.parametrize('progress', [0.0, 0.75])
def test_partition_takes_gamma_from_the_raw_and_tests_the_refined(resolution, refinement, progress):
    target = choose(progress, threshold='partition', refinement=refinement, resolution=resolution, alpha=0.4)
    probs = COARSE if resolution == 'logits' else FULL
    seen = np.asarray(nearest(jnp.asarray(VALID), probs.shape[1:3]))
    raw = margin_np(probs)
    ordered = np.sort(raw[seen])
    gamma = ordered[int(np.floor(np.float32(0.4 * (1 - progress)) * np.float32(len(ordered) - 1)))]
    refined = raw if refinement == 'none' else margin_np(np.asarray(
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
    refined = margin_np(np.asarray(neighbor_union(jnp.asarray(FULL), valid=jnp.asarray(VALID))))
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
    raw = up(margin_np(COARSE))
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


def test_margin_of_the_map_has_no_gradient():
    method = tiny.config('s4mc').method
    total = lambda coarse: jnp.sum(select(MAPS._replace(coarse=coarse), jnp.asarray(VALID), method).confidence)
    assert not np.asarray(jax.grad(total)(MAPS.coarse)).any()
    assert margin(MAPS.coarse).shape == (3, 6, 8)


@pytest.mark.parametrize('size,scale,stride,align,expected', [
    ((321, 321), 0.75, 16, True, (241, 241)), ((321, 321), 1.25, 16, True, (401, 401)),
    ((128, 160), 0.75, 16, False, (96, 128)), ((128, 160), 1.25, 16, False, (160, 208)),
    ((518, 518), 0.75, 14, False, (392, 392)), ((16, 16), 0.25, 16, False, (16, 16)),
    ((100, 90), 1.0, 16, False, (100, 90))])
def test_scales_are_snapped_to_the_grid(size, scale, stride, align, expected):
    assert snapped(size, scale, stride, align) == expected


def test_ensemble_is_the_mean_softmax_over_scales():
    images = jnp.asarray(DRAW.normal(size=(2, 32, 48, 3)), jnp.float32)
    seen = []

    def outputs(x):
        seen.append(x.shape[1:3])
        logits = jnp.concatenate([x, 2 * x[..., :1]], -1)
        return SimpleNamespace(logits=logits, coarse=logits[:, ::4, ::4])

    maps = ensemble(outputs, images, (0.5, 1.0, 1.5), 16, False)
    assert sorted(seen) == [(16, 32), (32, 48), (48, 80)]  # 24 is half way between 16 and 32
    each = [np.asarray(resize_bilinear(jax.nn.softmax(outputs(
        resize_bilinear(images, snapped((32, 48), s, 16, False), False)).logits), (32, 48), False))
        for s in (0.5, 1.0, 1.5)]
    np.testing.assert_allclose(maps.full, np.mean(each, 0), atol=1e-6)
    np.testing.assert_allclose(maps.single, jax.nn.softmax(outputs(images).logits), atol=1e-6)
    np.testing.assert_allclose(np.asarray(maps.full).sum(-1), 1, atol=1e-5)
    assert maps.coarse.shape == (2, 8, 12, 4)

    one = ensemble(outputs, images, (1.0,), 16, False)
    np.testing.assert_array_equal(one.full, one.single)
    own = SimpleNamespace(logits=jnp.zeros((2, 32, 48, 4)), coarse=jnp.zeros((2, 8, 12, 4)))
    np.testing.assert_allclose(ensemble(outputs, images, (1.0,), 16, False, own).full, 0.25)
