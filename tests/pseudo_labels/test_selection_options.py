"""Every key of the selection slot, through the config, against plain NumPy; and what nothing kept is worth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from plain_s4mc import bilinear, lower_quantile, naive_margin, naive_union

from s4mim_jax.config.errors import InputError
from s4mim_jax.parallel import Collectives
from s4mim_jax.pseudo_labels import Maps, neighbor_union, select
from s4mim_jax.terms import filtered_cross_entropy
from s4mim_jax.training.step import _value

DRAW = np.random.default_rng(11)
SIZE, TABLE = (12, 16), (0.95, 0.7, 0.4, 0.85)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return (e / e.sum(-1, keepdims=True)).astype(np.float32)


# Patches of one class each, the third image's surest: neighbours mostly agree.
PATCHES = np.eye(4)[DRAW.integers(0, 4, (3, 2, 3))] * DRAW.uniform(1, 3, (3, 2, 3, 1)) * np.float64([1, 1.5, 2])[
    :, None, None, None]
COARSE = softmax(np.kron(PATCHES, np.ones((1, 3, 3, 1)))[:, :, :8] + DRAW.normal(size=(3, 6, 8, 4)) * 0.7)
FULL = bilinear(COARSE, SIZE).astype(np.float32)
VALID = np.ones((3, *SIZE), bool)
VALID[0, 8:] = VALID[2, :, :4] = False


def rule_of(**changes):
    method = tiny.config('s4mc').method
    method.selection.update(dict(tau_margin=0.4, coherence=TABLE, resolution='logits') | changes)
    return method


def choose(method, progress, align_corners=False):
    maps = Maps(jnp.asarray(FULL), jnp.asarray(COARSE), jnp.asarray(FULL))
    return jax.device_get(select(maps, jnp.asarray(VALID), method, progress=progress, align_corners=align_corners))


def expected(rule, progress, align_corners=False):
    """(refined score, threshold) at every pixel, f64 [B, H, W]: it is kept where the first is above."""
    coarse = rule.resolution == 'logits'
    probs, seen = (COARSE, VALID[:, 1::2, 1::2]) if coarse else (FULL, VALID)  # the pixel at a cell's centre
    raw = refined = naive_margin(probs)
    if rule.refinement != 'none':
        table = TABLE if rule.refinement == 'coherence' else None
        refined = naive_margin(np.stack([
            naive_union(p, v, rule.window, rule.connectivity, rule.neighbors, rule.decay, table)
            for p, v in zip(probs, seen)]))
    if rule.threshold == 'margin':
        threshold = np.full(3, rule.tau_margin)
    elif rule.scope == 'image':
        threshold = np.array([lower_quantile(r[v], rule.alpha * (1 - progress)) for r, v in zip(raw, seen)])
    else:
        threshold = np.full(3, lower_quantile(raw[seen], rule.alpha * (1 - progress)))
    score = bilinear(refined[..., None], SIZE, align_corners)[..., 0] if coarse else refined
    return score, np.broadcast_to(threshold[:, None, None], score.shape)


def check(target, score, threshold):
    clear = np.abs(score - threshold) > 1e-5  # where rounding does not decide
    assert clear.mean() > 0.98 and 0 < target.kept.sum() < VALID.sum()
    np.testing.assert_array_equal(target.kept[clear], (VALID & (score > threshold))[clear])
    np.testing.assert_array_equal(target.label, FULL.argmax(-1))


@pytest.mark.parametrize('resolution', ['logits', 'full'])
@pytest.mark.parametrize('refinement', ['none', 'union', 'coherence'])
@pytest.mark.parametrize('threshold, scope', [('margin', 'global'), ('partition', 'global'), ('partition', 'image')])
def test_every_combination_of_the_switches(threshold, scope, refinement, resolution):
    method = rule_of(threshold=threshold, scope=scope, refinement=refinement, resolution=resolution)
    target = choose(method, 0.25)
    check(target, *expected(method.selection, 0.25))
    unrefined = rule_of(**method.selection.to_dict() | dict(refinement='none')).selection
    check(target._replace(kept=target.unrefined), *expected(unrefined, 0.25))
    assert (target.kept == target.unrefined).all() == (refinement == 'none')


NEIGHBORHOODS = [dict(connectivity=4), dict(window=5), dict(window=5, connectivity=4), dict(neighbors=3),
                 dict(decay=0.5), dict(neighbors=3, decay=0.5), dict(window=5, neighbors=2, decay=1.0),
                 dict(refinement='coherence', neighbors=2, decay=0.5)]


@pytest.mark.parametrize('options', NEIGHBORHOODS, ids=lambda o: '-'.join(f'{k}{v}' for k, v in o.items()))
def test_keys_of_the_neighbourhood_reach_the_filter(options):
    method = rule_of(threshold='margin', **options)
    score, threshold = expected(method.selection, 0.0)
    target = choose(method, 0.0)
    check(target, score, threshold)
    for key in options:  # each of them decides on some pixel
        without = rule_of(threshold='margin', **{k: v for k, v in options.items() if k != key})
        assert (choose(without, 0.0).kept != target.kept).any(), key


@pytest.mark.parametrize('align_corners', [False, True])
def test_margins_are_resized_in_the_models_convention(align_corners):
    method = rule_of()
    target = choose(method, 0.0, align_corners)
    check(target, *expected(method.selection, 0.0, align_corners))
    assert (choose(method, 0.0, not align_corners).kept != target.kept).any()


def test_a_table_of_other_classes_is_refused():
    with pytest.raises(InputError, match=r'coherence=\(0.5, 0.5\): .* 4 numbers'):
        choose(rule_of(refinement='coherence', coherence=(0.5, 0.5)), 0.0)


def one_map(probs):
    maps = Maps(*(jnp.asarray(probs[None]),) * 3)
    return maps, jnp.ones(maps.full.shape[:3], bool)


def test_the_label_is_the_raw_maps_where_refinement_would_change_it():
    """A hesitant pixel among sure ones of the other class: the union turns its scores round."""
    probs = np.broadcast_to(np.float32([0.05, 0.9, 0.05]), (5, 5, 3)).copy()
    probs[2, 2] = 0.5, 0.4, 0.1
    maps, valid = one_map(probs)
    refined = np.asarray(neighbor_union(maps.coarse))[0, 2, 2]
    np.testing.assert_allclose(refined, [0.5 + 0.05 - 0.025, 0.4 + 0.9 - 0.36, 0.1 + 0.05 - 0.005], atol=1e-6)
    assert refined.argmax() == 1
    target = select(maps, valid, rule_of(threshold='margin'))
    assert int(target.label[0, 2, 2]) == 0 and bool(target.kept[0, 2, 2]) and not bool(target.unrefined[0, 2, 2])


def test_the_boundary_example_keeps_nothing_and_its_loss_is_zero():
    """Worked example of a vertical boundary: gamma = 0.7, raw margins keep 3 of 9 pixels, refined ones none."""
    row = np.float32([[[.9, .05, .05], [.6, .3, .1], [.1, .8, .1]], [[.9, .05, .05], [.5, .4, .1], [.1, .8, .1]]])
    maps, valid = one_map(row[[0, 1, 0]])
    target = select(maps, valid, rule_of(connectivity=4))
    assert int(target.unrefined.sum()) == 3 and int(target.kept.sum()) == 0
    logits = jnp.asarray(DRAW.normal(size=(1, 3, 3, 3)) * 50, jnp.float32)
    for told in (target, target._replace(valid=jnp.zeros_like(valid))):  # nothing kept; nothing valid either
        loss = lambda logits: _value([filtered_cross_entropy(logits, told)], Collectives())
        value, gradient = jax.value_and_grad(loss)(logits)
        assert float(value) == 0.0 and not np.asarray(gradient).any()
    all_kept = lambda logits: _value([filtered_cross_entropy(logits, target._replace(kept=valid))], Collectives())
    assert float(all_kept(logits)) > 1.0
