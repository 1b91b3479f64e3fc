"""Terms on masked views against plain NumPy loops."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from s4mim_jax import terms
from s4mim_jax.models.feature_grid import FeatureGrid
from s4mim_jax.parallel import Collectives
from s4mim_jax.pseudo_labels import Target
from s4mim_jax.terms import class_wise_mim
from s4mim_jax.terms.class_wise_mim import reconstruction_error
from s4mim_jax.terms.feature_aggregation import distance_to_visible
from s4mim_jax.terms.patch_norm import normalize_patches, restore_patches
from s4mim_jax.terms.similarity import relative_entropy, squared_difference
from s4mim_jax.training.step import _value
from s4mim_jax.views.masked import Masked

DRAW = np.random.default_rng(0)
B, H, W, C, STRIDE = 2, 32, 48, 4, 8
LABEL = np.where(DRAW.random((B, H, W)) < 0.2, 255, DRAW.integers(0, C, (B, H, W)))


def logits():
    return jnp.asarray(DRAW.normal(size=(B, H, W, C)) * 2, jnp.float32)


def target():
    valid = DRAW.random((B, H, W)) < 0.8
    return Target(jnp.asarray(DRAW.integers(0, C, (B, H, W))), jnp.asarray(valid & (DRAW.random((B, H, W)) < 0.5)),
                  jnp.asarray(valid), jnp.asarray(DRAW.random((B, H, W)), jnp.float32), None)


def entropy(scores, label):
    logs = np.asarray(jax.nn.log_softmax(scores))
    return -np.take_along_axis(logs, np.asarray(label)[..., None], -1)[..., 0]


def labeled(scores):
    known = LABEL != 255
    return entropy(scores, np.where(known, LABEL, 0))[known].mean()


def filtered(scores, t):
    return (entropy(scores, t.label) * np.asarray(t.kept)).sum() / np.asarray(t.valid).sum()


def value(name, forward):
    return float(_value(terms.TERMS[name].loss(forward), Collectives()))


def forward(method='s4mim', **changes):
    config = tiny.config(method, **{f'method__{k}': v for k, v in changes.items()})
    names = ('x', 'w', 'x_masked', 'w_masked', 's1_masked')
    return SimpleNamespace(logits={n: logits() for n in names}, label=jnp.asarray(LABEL), method=config.method,
                           targets={'w': target(), 's1': target()}, progress=jnp.float32(1.0),
                           grid=FeatureGrid(STRIDE, False))


def test_masked_consistency_is_the_hosts_on_the_masked_copy():
    s = forward('maskmatch')
    assert value('masked_consistency', s) == pytest.approx(filtered(s.logits['w_masked'], s.targets['w']), rel=1e-5)


def test_masked_supervision_counts_hidden_pixels_too():
    s = forward('masksup')
    assert value('masked_supervision', s) == pytest.approx(labeled(s.logits['x_masked']), rel=1e-5)
    s.method.supervised_loss = 'ohem'  # the hard pixels of a masked copy are those that are hidden
    assert value('masked_supervision', s) == pytest.approx(labeled(s.logits['x_masked']), rel=1e-5)


@pytest.mark.parametrize('views', [('x', 'w', 's'), ('s',), ('x',), ('x', 's'), ('w', 's')])
def test_semantic_mim_shares_between_labelled_and_unlabelled(views):
    s = forward(mim__semantic_views=views)
    parts = {'x': labeled(s.logits['x_masked']), 'w': filtered(s.logits['w_masked'], s.targets['w']),
             's': filtered(s.logits['s1_masked'], s.targets['s1'])}
    sides = [np.mean([parts[v] for v in side if v in views]) for side in (('x',), ('w', 's'))
             if any(v in views for v in side)]
    assert value('semantic_mim', s) == pytest.approx(np.mean(sides), rel=1e-5)
    if len(views) == 3:  # as the module writes it
        assert value('semantic_mim', s) == pytest.approx(
            0.5 * (parts['x'] + 0.5 * parts['s'] + 0.5 * parts['w']), rel=1e-5)


@pytest.mark.parametrize('kind', ['visible', 'hidden'])
def test_a_masked_copys_loss_on_some_pixels_only(kind):
    s = forward('s4mim', masks__loss_on=kind)
    visible = {n: DRAW.random((B, H, W)) < 0.5 for n in ('x_masked', 'w_masked', 's1_masked')}
    s.masked = {n: Masked(None, jnp.asarray(mark), None) for n, mark in visible.items()}
    counted = {n: mark if kind == 'visible' else ~mark for n, mark in visible.items()}
    known = (LABEL != 255) & counted['x_masked']
    parts = {'x': entropy(s.logits['x_masked'], np.where(known, LABEL, 0))[known].mean()}
    for copy, view in (('w_masked', 'w'), ('s1_masked', 's1')):
        t, own = s.targets[view], counted[copy]
        losses = entropy(s.logits[copy], t.label) * np.asarray(t.kept & own)
        parts[copy] = losses.sum() / (np.asarray(t.valid) & own).sum()
    assert value('masked_supervision', s) == pytest.approx(parts['x'], rel=1e-5)
    assert value('masked_consistency', s) == pytest.approx(parts['w_masked'], rel=1e-5)
    assert value('semantic_mim', s) == pytest.approx(
        0.5 * (parts['x'] + 0.5 * parts['s1_masked'] + 0.5 * parts['w_masked']), rel=1e-5)


def test_similarity_is_soft_and_reaches_both_branches():
    s = forward('masksup')
    full, masked = (np.asarray(jax.nn.softmax(s.logits[n])) for n in ('x', 'x_masked'))
    expected = ((full - masked) ** 2).sum(-1)[LABEL != 255].sum() / ((LABEL != 255).sum() * C)
    assert value('similarity', s) == pytest.approx(expected, rel=1e-5)
    for form, fixed in ((squared_difference, False), (relative_entropy, True)):
        a, b = jax.grad(lambda p, q: jnp.sum(form(p, q)), argnums=(0, 1))(s.logits['x'], s.logits['x_masked'])
        assert bool(jnp.any(a)) is not fixed and jnp.any(b)


def test_similarity_of_two_classes_is_the_binary_form():
    one, two = (jnp.asarray(DRAW.normal(size=(3, 5, 2)) * 3, jnp.float32) for _ in range(2))
    sigmoid = lambda z: 1 / (1 + np.exp(-np.asarray(z[..., 1] - z[..., 0], np.float64)))
    np.testing.assert_allclose(squared_difference(one, two), (sigmoid(one) - sigmoid(two)) ** 2, atol=1e-6)
    # ... and the cross-entropy of two logits is the binary one of their difference.
    label = DRAW.integers(0, 2, (3, 5))
    binary = -np.log(np.where(label == 1, sigmoid(one), 1 - sigmoid(one)))
    np.testing.assert_allclose(terms.pixel_cross_entropy(one, jnp.asarray(label)), binary, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('kind', ['mse', 'kl'])
def test_similarity_of_unlabelled_images_is_averaged_with_that_of_labelled_ones(kind):
    s = forward('masksup', similarity_unlabeled=True, similarity_loss=kind)
    assert terms.TERMS['similarity'].needs(s.method) == ('x', 'x_masked', 'w', 'w_masked')
    # Fewer pixels of w, and nearer to each other: a mean over all pixels together would be another one.
    known = {'x': LABEL != 255, 'w': np.asarray(s.targets['w'].valid) & (np.arange(W) < W // 4)}
    s.targets['w'] = s.targets['w']._replace(valid=jnp.asarray(known['w']))
    s.logits['w_masked'] = s.logits['w'] + 0.3 * s.logits['w_masked']
    means = []
    for view in ('x', 'w'):
        full, masked = (np.exp(np.asarray(s.logits[n], np.float64)) for n in (view, f'{view}_masked'))
        full, masked = (p / p.sum(-1, keepdims=True) for p in (full, masked))
        each = ((full - masked) ** 2).mean(-1) if kind == 'mse' else (full * np.log(full / masked)).sum(-1)
        means.append(each[known[view]].mean())
    assert value('similarity', s) == pytest.approx(np.mean(means), rel=1e-4)
    s.method.similarity_unlabeled = False
    assert terms.TERMS['similarity'].needs(s.method) == ('x', 'x_masked')
    assert value('similarity', s) == pytest.approx(means[0], rel=1e-4)


def reconstruction_by_loop(pixels, images, part, visible, height, width, before):
    """By image, class and pixel. A position's square begins `before` pixels ahead of its multiple of the stride;
    its class is read at the centre, and it is visible when half of its pixels are."""
    totals, counts = np.zeros(C), np.zeros(C, int)
    position = lambda y, x: ((y + before) // STRIDE, (x + before) // STRIDE)
    pixels_of = {}
    for y in range(height):
        for x in range(width):
            pixels_of.setdefault(position(y, x), []).append((y, x))
    centre = lambda array, r, c: array[r * STRIDE + STRIDE // 2 - before, c * STRIDE + STRIDE // 2 - before]
    for b in range(B):
        for k in range(C):
            own = [p for p in pixels_of if centre(part[b], *p) == k]
            sides = {np.mean([visible[b][pixel] for pixel in pixels_of[p]]) >= 0.5 for p in own}
            if sides != {True, False}:
                continue
            for y, x in (pixel for p in own for pixel in pixels_of[p]):
                if part[b, y, x] == k and not visible[b, y, x]:
                    totals[k] += np.abs(pixels[b, y, x] - images[b, y, x]).mean()
                    counts[k] += 1
    return totals, counts


def blocky(low, high):
    """A map that is piecewise constant, as labels are, with some single pixels that are not."""
    coarse = DRAW.integers(low, high, (B, H // 4, W // 4))
    fine = np.repeat(np.repeat(coarse, 4, 1), 4, 2)
    return np.where(DRAW.random(fine.shape) < 0.1, DRAW.integers(low, high, fine.shape), fine)


@pytest.mark.parametrize('align', [False, True])
def test_reconstruction_error_by_class(align):
    height, width = (H - 7, W - 7) if align else (H, W)  # a multiple of the stride and one
    pixels, images = (DRAW.normal(size=(B, height, width, 3)).astype(np.float32) for _ in range(2))
    part = blocky(0, C + 1)[:, :height, :width]
    part[part == C] = 255
    visible = blocky(0, 2).astype(bool)[:, :height, :width]
    error = lambda p: reconstruction_error(p, jnp.asarray(images), jnp.asarray(part), jnp.asarray(visible),
                                           FeatureGrid(STRIDE, align), C)
    ratio = error(jnp.asarray(pixels))
    before = STRIDE // 2 if align else 0
    totals, counts = reconstruction_by_loop(pixels, images, part, visible, height, width, before)
    np.testing.assert_array_equal(ratio.count, counts)
    np.testing.assert_allclose(ratio.total, totals, rtol=1e-4)
    assert counts.sum() > 0
    # No gradient where nothing is hidden.
    gradient = jax.grad(lambda p: jnp.sum(error(p).total))(jnp.asarray(pixels))
    assert not np.asarray(gradient)[visible].any() and np.isfinite(gradient).all()


def distance_by_loop(features, source, gate, visible, what):
    """By image and class: what is hidden in `features` from the mean of what is visible in `source`."""
    features, source = (f / np.linalg.norm(f, axis=-1, keepdims=True) for f in map(np.asarray, (features, source)))
    totals, counts = np.zeros(C), np.zeros(C, int)
    for b in range(B):
        for k in range(C):
            shown, hidden = source[b][(gate[b] == k) & visible[b]], features[b][(gate[b] == k) & ~visible[b]]
            if len(shown) and len(hidden):
                moved = hidden if what == 'position' else hidden.mean(0, keepdims=True)
                totals[k] += ((moved - shown.mean(0)) ** 2).sum()
                counts[k] += len(moved)
    return totals, counts


@pytest.mark.parametrize('what', ['position', 'prototype'])
def test_distance_to_the_visible_prototype(what):
    features, source = DRAW.normal(size=(2, B, 4, 6, 5)).astype(np.float32)
    gate = DRAW.integers(0, C + 1, (B, 4, 6))
    gate[gate == C] = 255
    visible = DRAW.random((B, 4, 6)) < 0.5
    run = lambda f, s: distance_to_visible(f, s, jnp.asarray(gate), jnp.asarray(visible), C, what)
    for given in (features, source):
        ratio = run(jnp.asarray(features), jnp.asarray(given))
        totals, counts = distance_by_loop(features, given, gate, visible, what)
        np.testing.assert_array_equal(ratio.count, counts)
        np.testing.assert_allclose(ratio.total, totals, rtol=1e-4, atol=1e-6)
    # The visible side is what the hidden side moves to: it gets no gradient.
    total = jax.grad(lambda f: jnp.sum(run(f, f).total))
    gradient = np.asarray(total(jnp.asarray(features)))
    assert not gradient[visible].any() and gradient[~visible].any()
    assert np.isfinite(total(jnp.zeros_like(jnp.asarray(features)))).all()


@pytest.fixture(autouse=True)
def decoded(monkeypatch):
    """What the pixel decoder says is given."""
    monkeypatch.setattr(class_wise_mim, 'reconstructed', lambda forward: forward.reconstructed)


def mim_scene(**changes):
    s = forward(**changes)
    names = ('x_masked', 'w_masked', 's1_masked')
    part = lambda: np.where(DRAW.random((B, H, W)) < 0.1, 255, blocky(0, C))
    s.masked = {n: Masked(None, jnp.asarray(blocky(0, 2).astype(bool)), jnp.asarray(part())) for n in names}
    s.features = {n: jnp.asarray(DRAW.normal(size=(B, 4, 6, 5)), jnp.float32) for n in (*names, 'x', 'w', 's1')}
    s.images = {n: jnp.asarray(DRAW.normal(size=(B, H, W, 3)) * (i + 1), jnp.float32)
                for i, n in enumerate(('x', 'w', 's1', 'w_photometric'))}
    s.reconstructed = {n: jnp.asarray(DRAW.normal(size=(B, H, W, 3)), jnp.float32) for n in names}
    return s


@pytest.mark.parametrize('name', ['class_wise_mim', 'feature_aggregation'])
def test_unlabelled_parts_grow_over_the_ramp(name):
    s = mim_scene(mim__ramp=0.1)
    values = {}
    for progress in (0.0, 0.05, 0.1, 0.9):
        s.progress = jnp.float32(progress)
        values[progress] = value(name, s)
    assert values[0.9] == values[0.1]
    assert values[0.05] == pytest.approx((values[0.0] + values[0.1]) / 2, rel=1e-5)
    s.method.mim.views = ('x',)
    assert value(name, s) / 3 == pytest.approx(values[0.0], rel=1e-5)  # what is left at the start is x


def mean_over_classes(totals, counts):
    return (totals[counts > 0] / counts[counts > 0]).mean()


@pytest.mark.parametrize('prototype_from', ['masked', 'unmasked'])
@pytest.mark.parametrize('what', ['position', 'prototype'])
def test_aggregation_compares_a_masked_copy_with_the_pass_and_the_part_that_are_asked_for(prototype_from, what):
    s = mim_scene(mim__prototype_from=prototype_from, mim__aggregation=what)
    whole = {'x_masked': 'x', 'w_masked': 'w', 's1_masked': 's1'}
    unmasked = set(whole.values()) if prototype_from == 'unmasked' else set()
    assert set(terms.TERMS['feature_aggregation'].needs(s.method)) == set(whole) | unmasked
    expected = []
    for copy, view in whole.items():
        gate = np.asarray(s.masked[copy].class_region)[:, STRIDE // 2::STRIDE, STRIDE // 2::STRIDE]
        squares = np.asarray(s.masked[copy].visible).reshape(B, H // STRIDE, STRIDE, W // STRIDE, STRIDE)
        seen = squares.mean((2, 4)) >= 0.5
        source = s.features[view if unmasked else copy]
        expected.append(mean_over_classes(*distance_by_loop(s.features[copy], source, gate, seen, what)))
    assert value('feature_aggregation', s) == pytest.approx(np.mean(expected), rel=1e-4)


@pytest.mark.parametrize('patch_norm,photometric', [(False, False), (True, False), (False, True), (True, True)])
def test_what_is_reconstructed_is_the_view_as_it_was_before_its_mask(patch_norm, photometric):
    s = mim_scene(mim__patch_norm=patch_norm, masks__w_photometric=photometric)
    expected = []
    for copy, view in (('x_masked', 'x'), ('w_masked', 'w_photometric' if photometric else 'w'), ('s1_masked', 's1')):
        target = np.asarray(s.images[view], np.float64)
        if patch_norm:  # squares of 16 pixels, as MAE's
            target = target.copy()
            for b, y, x in np.ndindex(B, H // 16, W // 16):
                square = target[b, 16 * y:16 * y + 16, 16 * x:16 * x + 16]
                square -= square.mean((0, 1))
                square /= square.std((0, 1))
        part, visible = map(np.asarray, (s.masked[copy].class_region, s.masked[copy].visible))
        expected.append(mean_over_classes(*reconstruction_by_loop(
            np.asarray(s.reconstructed[copy]), target, part, visible, H, W, 0)))
    assert value('class_wise_mim', s) == pytest.approx(np.mean(expected), rel=1e-4)


def test_patches_are_normalised_each_for_itself():
    images = DRAW.normal(size=(1, 20, 24, 3)).astype(np.float32) * 5 + 2
    out = np.asarray(normalize_patches(jnp.asarray(images), 16))
    square = out[0, :16, :16]
    np.testing.assert_allclose(square.mean((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(square.std((0, 1)), 1, atol=1e-4)
    assert out.shape == images.shape and np.isfinite(out).all()
    np.testing.assert_allclose(restore_patches(jnp.asarray(out), jnp.asarray(images), 16), images, atol=1e-4)
