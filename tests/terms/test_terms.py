"""Loss terms and pseudo-labels against plain NumPy."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from s4mim_jax import terms
from s4mim_jax.config.validation import validate
from s4mim_jax.parallel import Collectives
from s4mim_jax.pseudo_labels import Target, blend, decay_at
from s4mim_jax.terms.supervised import hard_pixels
from s4mim_jax.training.passes import describe, passes_of
from s4mim_jax.training.perturbation import channel_dropout, complementary_masks
from s4mim_jax.training.step import _value

DRAW = np.random.default_rng(0)
LOGITS = DRAW.normal(size=(2, 5, 6, 4)).astype(np.float32) * 3
LABEL = np.where(DRAW.random((2, 5, 6)) < 0.2, 255, DRAW.integers(0, 4, (2, 5, 6)))


def entropy(logits, label):
    p = np.exp(logits - logits.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    return -np.log(np.take_along_axis(p, label[..., None], -1)[..., 0])


def value(ratios):
    return float(_value(ratios, Collectives()))


def method(name='supervised', **changes):
    return tiny.config(name, **{f'method__{k}': v for k, v in changes.items()}).method


def test_supervised_is_the_mean_over_labelled_pixels():
    forward = SimpleNamespace(logits={'x': jnp.asarray(LOGITS)}, label=jnp.asarray(LABEL), method=method())
    known = LABEL != 255
    expected = entropy(LOGITS, np.where(known, LABEL, 0))[known].mean()
    assert value(terms.TERMS['supervised'].loss(forward)) == pytest.approx(expected, rel=1e-5)


def test_ohem_keeps_hard_pixels_and_at_least_the_share():
    pixels = np.where(LABEL != 255, entropy(LOGITS, np.where(LABEL != 255, LABEL, 0)), 0).astype(np.float32)
    known = LABEL != 255
    for keep in (0.1, 0.9):
        kept = np.asarray(hard_pixels(jnp.asarray(pixels), jnp.asarray(known), 0.7, keep))
        for image in range(2):
            order = np.sort(pixels[image][known[image]])[::-1]
            least = min(round(keep * 30), len(order))
            limit = min(order[least - 1], -np.log(0.7))
            np.testing.assert_array_equal(kept[image], known[image] & (pixels[image] >= limit))


def test_ohem_switch_changes_the_supervised_loss_only_upwards():
    forward = lambda kind: SimpleNamespace(logits={'x': jnp.asarray(LOGITS)}, label=jnp.asarray(LABEL),
                                         method=method(supervised_loss=kind, ohem_keep=0.05))
    assert value(terms.TERMS['supervised'].loss(forward('ohem'))) > value(terms.TERMS['supervised'].loss(forward('ce')))


def test_consistency_divides_by_valid_pixels_and_averages_views():
    target = Target(jnp.asarray(np.where(LABEL == 255, 0, LABEL)), jnp.asarray(DRAW.random(LABEL.shape) < 0.5),
                    jnp.asarray(DRAW.random(LABEL.shape) < 0.8), None, None)
    target = target._replace(kept=target.kept & target.valid)
    forward = SimpleNamespace(logits={'s1': jnp.asarray(LOGITS), 's2': jnp.asarray(-LOGITS)},
                            targets={'s1': target, 's2': target}, method=method('unimatch'))
    one = lambda logits: (entropy(logits, np.asarray(target.label)) * np.asarray(target.kept)).sum() / np.asarray(
        target.valid).sum()
    assert value(terms.TERMS['consistency'].loss(forward)) == pytest.approx((one(LOGITS) + one(-LOGITS)) / 2, rel=1e-5)
    forward.method = method('fixmatch')  # one strong view
    assert value(terms.TERMS['consistency'].loss(forward)) == pytest.approx(one(LOGITS), rel=1e-5)


def test_the_normalizer_of_losses_on_pseudo_labels_by_hand():
    """Six valid pixels, two kept, of cross-entropy ln 2 each: over 6, over 2, and the last times 6 / 2."""
    valid = jnp.asarray([True] * 6 + [False] * 2).reshape(1, 2, 4)
    kept = jnp.asarray([True] * 2 + [False] * 6).reshape(1, 2, 4)
    target = Target(jnp.zeros((1, 2, 4), jnp.int32), kept, valid, None, None)
    logits = {'w_dropped': jnp.zeros((1, 2, 4, 2))}
    for normalizer, expected in (('valid', 2 / 6), ('kept', 1.0), ('kept_squared', 6 / 2)):
        for told, times in ((target, 1.0), (target._replace(kept=jnp.zeros_like(kept)), 0.0)):
            forward = SimpleNamespace(logits=logits, targets={'w': told}, collectives=Collectives(),
                                      method=method('unimatch', selection__normalizer=normalizer))
            assert value(terms.TERMS['feature_perturbation'].loss(forward)) == pytest.approx(
                times * expected * np.log(2), rel=1e-6)


def test_a_vector_ratio_is_a_mean_over_entries_that_occur():
    ratio = terms.Ratio(jnp.asarray([6.0, 5.0, 0.0]), jnp.asarray([2, 1, 0]))
    assert value([ratio]) == pytest.approx((3.0 + 5.0) / 2)
    assert value([terms.Ratio(jnp.zeros(3), jnp.zeros(3, jnp.int32))]) == 0.0


def test_ema_starts_as_a_copy_and_copies_integers():
    assert float(decay_at(0, 0.996)) == 0.0
    assert float(decay_at(1, 0.996)) == 0.5
    assert float(decay_at(10_000, 0.996)) == pytest.approx(0.996)
    old, new = ({'w': jnp.asarray([value]), 'n': jnp.asarray([int(value)])} for value in (4.0, 2.0))
    mixed = blend(old, new, 0.75)
    assert float(mixed['w'][0]) == 3.5 and int(mixed['n'][0]) == 2


def test_feature_masks():
    keys = jax.random.split(jax.random.key(0), 200)
    dropped = np.asarray(channel_dropout(keys, 64, 0.5))
    assert set(np.unique(dropped)) == {0.0, 2.0} and abs((dropped == 0).mean() - 0.5) < 0.02
    first, second = map(np.asarray, complementary_masks(keys, 64))
    np.testing.assert_array_equal(first + second, 2.0)
    ones = (first == 1).all(axis=1)
    assert 0.35 < ones.mean() < 0.65 and set(np.unique(first[~ones])) == {0.0, 2.0}
    np.testing.assert_array_equal(channel_dropout(keys[3:5], 64, 0.5), dropped[3:5])  # not of the batch around it


CALLS = {
    'supervised': ('none', False, [(('x',), ('x',))]),
    'fixmatch': ('self', False, [(('x', 'w'), ('x', 'w')), (('s1',), ('s1',))]),
    'unimatch': ('self', True, [(('x', 'w'), ('x', 'w', 'w_dropped')), (('s1', 's2'), ('s1', 's2'))]),
    'unimatch_v2': ('ema', False, [(('x',), ('x',)), (('s1', 's2'), ('s1', 's2'))]),
}


@pytest.mark.parametrize('name', CALLS)
def test_network_calls_of_a_method(name):
    passes = passes_of(method(name))
    assert (passes.teacher, passes.partner, [tuple(c[:2]) for c in passes.calls]) == CALLS[name]


def test_switches_change_the_calls_and_nothing_else():
    base = passes_of(method('unimatch'))
    assert passes_of(method('unimatch', feature_perturbation=0.0)).calls[0].decoded == ('x', 'w')
    assert passes_of(method('unimatch', strong_views=1)).calls == (base.calls[0], (('s1',), ('s1',), False))
    config = tiny.config('unimatch')
    config.method.cutmix.partner = 'batch'  # its partner is in the batch: no pass of its own
    assert passes_of(config.method) == base._replace(partner=False)
    config.method.cutmix.update(partner='independent', probability=0.0)  # no CutMix, no partner to look at
    assert passes_of(config.method) == base._replace(partner=False)
    config.method.teacher.kind = 'ema'
    config.method.feature_perturbation = 0.0
    assert 'w' not in passes_of(config.method).views  # the EMA looks at it instead
    assert 'EMA teacher' in describe(config)


@pytest.mark.parametrize('name', CALLS)
def test_every_method_is_valid(name):
    validate(tiny.config(name))
