"""Masked copies: what they hide, from which view they are made, and who takes part."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import tiny_network

from s4mim_jax.models import build_model
from s4mim_jax.models.feature_grid import FeatureGrid
from s4mim_jax.parallel import Collectives
from s4mim_jax.training import create_state
from s4mim_jax.training.forward import forward_pass
from s4mim_jax.training.passes import passes_of
from s4mim_jax.views.masked import default_patch, mask_view, sample_class
from s4mim_jax.views.randomness import StepRandomness

SIZE = (40, 48)


def _arrays(result):
    """What jit may return: the forward without its config and its collectives."""
    forward, statistics = result
    return forward._replace(config=None, collectives=None), statistics


def view(config, name='w', batch=4, step=0):
    image = jnp.ones((batch, *SIZE, 3))
    part = jnp.asarray(np.random.default_rng(1).integers(0, 3, (batch, *SIZE)))
    return jax.device_get(mask_view(name, image, part, jnp.arange(batch), config, StepRandomness(config.seed, step)))


def test_hidden_pixels_are_the_channel_mean_and_exactly_the_ratio():
    config = tiny.config('maskmatch', method__masks__patch=8)
    copy = view(config)
    cells = copy.visible.reshape(4, 5, 8, 6, 8).all((2, 4))
    assert (cells.sum((1, 2)) == 30 - round(0.7 * 30)).all()
    np.testing.assert_array_equal(copy.image, np.repeat(copy.visible[..., None], 3, -1).astype(np.float32))


def test_default_cells_are_about_a_tenth_and_no_less_than_a_position_where_features_are_compared():
    whole = [default_patch((side, side), 16, True) for side in (64, 128, 321, 513, 801)]
    assert whole == [16, 16, 32, 32, 64]
    assert [default_patch((side, side), 16, False) for side in (4, 64, 128, 321, 513, 801)] == [1, 6, 13, 32, 32, 64]
    assert default_patch((518, 518), 14, True) == 28


@pytest.mark.parametrize('align,size,patch', [(False, (64, 96), None), (True, (65, 97), 32), (False, (64, 96), 3)])
def test_where_features_are_compared_every_position_is_hidden_or_visible_as_a_whole(align, size, patch):
    config = tiny.config('s4mim', crop=size, method__masks__patch=patch, model__align_corners=align)
    image, part = jnp.ones((4, *size, 3)), jnp.zeros((4, *size), jnp.int32)
    randomness = StepRandomness(config.seed, 0)
    visible = jax.device_get(mask_view('w', image, part, jnp.arange(4), config, randomness).visible)
    rows, columns = map(FeatureGrid(16, align).of_pixels, size)
    shares = np.stack([visible[:, rows == row][:, :, columns == column].mean((1, 2))
                       for row in range(rows[-1] + 1) for column in range(columns[-1] + 1)])
    assert set(np.unique(shares)) == {0.0, 1.0} and len(shares) == (35 if align else 24)
    # Cells of whole positions: one of each where 16 pixels or fewer were asked for, two of each where 32 were.
    per = 2 if align else 1
    counts = [int(p[-1]) + 1 for p in (rows, columns)]
    edges = [np.round(np.linspace(0, n, round(n / per) + 1)).astype(int) for n in counts]
    table = shares.reshape(*counts, 4)
    cells = np.stack([table[top:bottom, left:right].mean((0, 1)) for top, bottom in zip(edges[0], edges[0][1:])
                      for left, right in zip(edges[1], edges[1][1:])])
    assert set(np.unique(cells)) == {0.0, 1.0} and len(cells) == (8 if align else 24)
    np.testing.assert_array_equal((cells == 0).sum(0), len(cells) // 2)


@pytest.mark.parametrize('align', [False, True])
def test_of_small_cells_exactly_the_ratio_is_hidden(align):
    config = tiny.config('maskmatch', method__masks__patch=8, model__align_corners=align)
    image, part = jnp.ones((4, 41, 49, 3)), jnp.zeros((4, 41, 49), jnp.int32)
    visible = jax.device_get(mask_view('w', image, part, jnp.arange(4), config, StepRandomness(config.seed, 0)).visible)
    rows, columns = (np.round(np.linspace(0, side, n + 1)).astype(int)[:-1] for side, n in ((41, 5), (49, 6)))
    cells = np.maximum.reduceat(np.maximum.reduceat(visible, rows, 1), columns, 2)
    np.testing.assert_array_equal((~cells).sum((1, 2)), 21)  # 0.7 of 30


def test_each_masked_view_and_each_example_has_a_mask_of_its_own():
    config = tiny.config('s4mim', method__masks__patch=8, model__output_stride=8)  # grids of 30 cells, half hidden
    masks = {name: view(config, name).visible for name in 'xws'}
    for one, other in ('xw', 'xs', 'ws'):
        assert (masks[one] != masks[other]).any((1, 2)).all()
    for name, mask in masks.items():
        assert len(np.unique(mask, axis=0)) == len(mask)
        # The third example alone, and first in its batch.
        image, part = jnp.ones((1, *SIZE, 3)), jnp.zeros((1, *SIZE), jnp.int32)
        again = mask_view(name, image, part, jnp.array([2]), config, StepRandomness(config.seed, 0)).visible
        np.testing.assert_array_equal(again[0], mask[2])


def test_each_view_has_its_own_mask_and_ratio():
    config = tiny.config('union', method__masks__patch=8, model__output_stride=8)
    x, w, s = (view(config, name).visible for name in 'xws')
    assert (w != s).any() and (view(config, 'w', step=1).visible != w).any()
    np.testing.assert_allclose((~w).mean((1, 2)), 0.7, atol=0.001)
    np.testing.assert_allclose((~s).mean((1, 2)), 0.5, atol=0.001)
    hidden = (~x).mean((1, 2))  # free-form
    assert (0.2 <= hidden).all() and (hidden <= 0.3).all()
    config.method.masks.x_kind = 'grid'
    assert (view(config, 'x').visible != x).any()
    config.method.masks.w_ratio = 0.0  # the compute-matched control sees everything
    assert view(config, 'w').visible.all()


def test_class_sampled_shows_one_class_an_image():
    config = tiny.config('s4mim', method__masks__input_scope='class_sampled', method__masks__patch=8)
    copy = view(config)
    for visible, part in zip(copy.visible, copy.class_region):
        classes = set(np.unique(part)) - {255}
        assert len(classes) == 1
        assert (part[visible] == classes.pop()).all()


def test_sampled_class_is_present_and_each_equally_likely():
    part = np.full((300, 4, 4), 255)
    part[:, 0, 0], part[:, 1:] = 2, 7
    part[0] = 255
    keys = StepRandomness(0, 0).keys('test', jnp.arange(300))
    chosen = np.asarray(sample_class(keys, jnp.asarray(part)))
    assert chosen[0] == 255 and set(chosen[1:]) == {2, 7}
    assert 0.4 < (chosen[1:] == 2).mean() < 0.6  # not by area


def test_copies_are_made_of_finished_views_and_write_no_statistics(monkeypatch):
    """The masked copy is its view where it is visible, CutMix and all; the pass leaves BatchNorm alone."""
    tiny_network.replace(monkeypatch)
    config = tiny.config('union', crop=(32, 32), batch=2, model__output_stride=8)
    config.method.cutmix.probability = 1.0
    config.method.mim.tau = 0.0
    passes, model = passes_of(config.method), build_model(config, tiny.CLASSES)
    state, batch = create_state(config, tiny.CLASSES), jax.tree.map(jnp.asarray, tiny.batch(config))
    variables = {'params': state.params, 'batch_stats': state.batch_stats}
    compose = jax.jit(lambda v: _arrays(forward_pass(
        model, config, passes, Collectives(), v, state.ema, batch, StepRandomness(config.seed, 3))))
    forward, statistics = jax.device_get(compose(variables))
    for copy, base in (('x_masked', 'x'), ('w_masked', 'w_photometric'), ('s1_masked', 's1')):
        masked = forward.masked[copy]
        np.testing.assert_array_equal(masked.image, forward.images[base] * masked.visible[..., None])
    assert (forward.images['w_photometric'] != forward.images['w']).any()
    assert (forward.masked['x_masked'].class_region == batch['labeled']['label']).all()
    w = forward.targets['w']
    np.testing.assert_array_equal(forward.masked['w_masked'].class_region, np.where(w.valid, w.label, 255))
    assert set(forward.heads) == {'pixel_decoder'}
    np.testing.assert_allclose(forward.progress, 0.3)

    config.method.update(masked_supervision=0.0, masked_consistency=0.0, semantic_mim=0.0, similarity=0.0,
                         class_wise_mim=0.0, feature_aggregation=0.0)
    base = passes_of(config.method)
    assert not base.masked and base.calls == passes.calls[:2]
    compose = jax.jit(lambda v: forward_pass(
        model, config, base, Collectives(), v, state.ema, batch, StepRandomness(config.seed, 3))[1])
    without = jax.device_get(compose(variables))
    for a, b in zip(jax.tree.leaves(statistics), jax.tree.leaves(without), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize('kind', ['batch', 'running'])
def test_statistics_that_masked_views_are_normalised_by(kind, monkeypatch):
    tiny_network.replace(monkeypatch)
    config = tiny.config('maskmatch', crop=(32, 32), batch=2, model__output_stride=8, method__masks__statistics=kind)
    passes, model = passes_of(config.method), build_model(config, tiny.CLASSES)
    state, batch = create_state(config, tiny.CLASSES), jax.tree.map(jnp.asarray, tiny.batch(config))
    variables = {'params': state.params, 'batch_stats': state.batch_stats}
    forward, statistics = jax.jit(lambda v: _arrays(forward_pass(
        model, config, passes, Collectives(), v, state.ema, batch, StepRandomness(config.seed, 3))))(variables)
    variables['batch_stats'] = statistics  # as the passes of whole views left them
    image = forward.masked['w_masked'].image
    evaluated = model.apply(variables, image, train=False).logits
    trained = model.apply(variables, image, train=True, mutable=['batch_stats'])[0].logits
    same, other = (trained, evaluated) if kind == 'batch' else (evaluated, trained)
    np.testing.assert_allclose(forward.logits['w_masked'], same, atol=1e-4)
    assert float(jnp.abs(forward.logits['w_masked'] - other).max()) > 0.01
