"""Switches of a method: each changes what it should and nothing else."""

import functools
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
import tiny
import tiny_network

from s4mim_jax import terms
from s4mim_jax.config import base
from s4mim_jax.config.key import Key, share
from s4mim_jax.parallel import Collectives
from s4mim_jax.terms.class_wise_mim import pixel_decoder, reconstructed
from s4mim_jax.training import create_state, make_train_step
from s4mim_jax.training.forward import forward_pass
from s4mim_jax.training.passes import passes_of
from s4mim_jax.training.state import term_states
from s4mim_jax.training.step import _value
from s4mim_jax.views.randomness import StepRandomness


def leaves(tree):
    return [np.asarray(x, np.float64) for x in jax.tree.leaves(tree)]


def same(a, b, tolerance=0.0):
    return all(np.allclose(x, y, rtol=0, atol=tolerance) for x, y in zip(leaves(a), leaves(b), strict=True))


def small(method, **changes):
    return tiny.config(method, crop=(32, 32), batch=2, model__output_stride=8, **changes)


@pytest.fixture(autouse=True)
def network(monkeypatch):
    tiny_network.replace(monkeypatch)


def two_steps(config):
    state, step, states, metrics = create_state(config, tiny.CLASSES), make_train_step(config, tiny.CLASSES), [], []
    for number in range(2):
        state, values = step(state, tiny.batch(config, number))
        states.append(jax.device_get(state)), metrics.append(jax.device_get(values))
    return states, metrics


@pytest.mark.parametrize('statistics', ['copy', 'ema'])
def test_the_ema_teacher_follows_the_student(statistics):
    # A half-life of half an update of ten: 2^-2, the decay of the blend below, where 0.9 was asked for.
    config = small('unimatch_v2', method__teacher__decay=0.9, method__teacher__half_life=0.05, total_steps=10,
                   method__teacher__batch_stats=statistics)
    first, second = two_steps(config)[0]
    assert same(first.ema['params'], first.params)  # decay 0 at the first update
    blend = lambda old, new: jax.tree.map(lambda a, b: 0.25 * a + 0.75 * b, old, new)
    assert same(second.ema['params'], blend(first.ema['params'], second.params), 1e-6)
    assert not same(second.ema['params'], second.params)
    followed = (blend(first.ema['batch_stats'], second.batch_stats) if statistics == 'ema' else second.batch_stats)
    assert same(second.ema['batch_stats'], followed, 1e-5)


def test_a_method_of_labels_alone_keeps_an_average_to_be_scored_and_learns_the_same():
    first, second = two_steps(small('supervised,teacher.kind=ema', method__teacher__decay=0.25))[0]
    alone = two_steps(small('supervised'))[0][-1]
    assert same(second.params, alone.params) and alone.ema is None
    blend = lambda old, new: jax.tree.map(lambda a, b: 0.25 * a + 0.75 * b, old, new)
    assert same(second.ema['params'], blend(first.ema['params'], second.params), 1e-6)
    assert second.variables('teacher') is second.ema and alone.variables('teacher')['params'] is not None


def test_tau_and_dropout_switches_act_on_their_term_alone():
    _, base = two_steps(small('fixmatch', method__tau=0.0))
    for change, moved in ((dict(method__tau=0.3), {'loss/consistency', 'pseudo_label/kept'}),
                          (dict(method__cutmix__probability=0.0), {'loss/consistency'})):
        _, other = two_steps(small('fixmatch', **{'method__tau': 0.0} | change))
        # In the first step the weights are the same, so every other number must be.
        differ = {name for name, metric in base[0].items()
                  if not np.isclose(metric.total, other[0][name].total, rtol=1e-5)}
        expected = moved | {'loss', 'gradient_norm', 'parameter_norm', 'pseudo_label/accuracy_kept',
                            'pseudo_label/accuracy_rejected'}
        assert moved <= differ <= expected, (change, differ)


def test_counts_of_pseudo_labels_are_those_of_the_map():
    config = small('fixmatch', method__tau=0.0)
    batch = tiny.batch(config)
    _, metrics = make_train_step(config, tiny.CLASSES)(create_state(config, tiny.CLASSES), batch)
    valid = batch['unlabeled']['valid'][:, 0]
    known = valid & (batch['unlabeled']['label'][:, 0] != 255)
    assert int(metrics['pseudo_label/kept'].count) == valid.sum() == int(metrics['pseudo_label/kept'].total)
    assert int(metrics['pseudo_label/accuracy'].count) == known.sum()
    assert metrics['pseudo_label/accuracy'].total == metrics['pseudo_label/accuracy_kept'].total


def test_accumulation_with_batch_statistics_is_micro_batches_in_order():
    """BatchNorm statistics move micro-batch by micro-batch, over examples m, m + 2, ..."""
    config = small('supervised', optimizer__learning_rate=0.0)
    config.batch.update(labeled=4, accumulate=2)
    batch = tiny.batch(config)['labeled']
    accumulated, _ = make_train_step(config, tiny.CLASSES)(create_state(config, tiny.CLASSES), {'labeled': batch})
    config.batch.update(labeled=2, accumulate=1)
    state, step = create_state(config, tiny.CLASSES), make_train_step(config, tiny.CLASSES)
    for m in range(2):
        state, _ = step(state, {'labeled': {k: v[m::2] for k, v in batch.items()}})
    assert same(accumulated.batch_stats, state.batch_stats, 1e-5)


WEIGHTS = 'test_loss_weights.py::test_the_loss_is_the_weighted_sum_of_the_terms'
RAMPS = 'test_weights.py::test_a_weight_follows_its_ramp_and_its_schedule'
SHOWN = dict.fromkeys(terms.TERMS, WEIGHTS) | {
    f'{name}_{kind}': RAMPS for name in terms.TERMS for kind in ('ramp', 'schedule')} | {
    'weighting': 'test_loss_weights.py::test_every_method_has_the_weights_of_its_formula',
    'class_balance': 'test_class_weights.py::test_weights_of_a_dataset',
    'teacher.decay': 'test_switches.py::test_the_ema_teacher_follows_the_student',
    'teacher.half_life': 'test_switches.py::test_the_ema_teacher_follows_the_student',
    'teacher.batch_stats': 'test_switches.py::test_the_ema_teacher_follows_the_student'}
LABEL = 'name'  # of the method, for people
MODULES = 'modules'  # test_extensions.py
S4MC, MARGIN = 's4mc', 's4mc,selection.threshold=margin,selection.tau_margin=0.1'
TABLE = 's4mc,selection.refinement=coherence,selection.coherence=(0.9, 0.9, 0.9, 0.9, 0.9)'
MASKMATCH, MASKSUP = 'maskmatch,teacher.kind=self,teacher.scales=(1.0,)', 'masksup,masks.x_kind=grid'
S4MIM, OHEM = 's4mim,mim.tau=0.0', 'supervised,supervised_loss=ohem,ohem_threshold=0.1'
# key of config.method -> a run, another value of the key, what moves with it. Keys of a term that are not here have a
# row made from their bounds, see `discovered`.
LISTED = {
    'strong_views': ('fixmatch', 2, 'image/s2 logits/s2'),
    'tau': ('fixmatch', 0.3, 'target/w/kept target/s1/kept'),
    'feature_dropout': ('s4mim_base', 0.2, 'logits/w_dropped'),
    'complementary_dropout': ('unimatch_v2', False, 'logits/s1 logits/s2'),
    'supervised_loss': ('supervised,ohem_threshold=0.1', 'ohem', 'loss/supervised'),
    'ohem_threshold': (OHEM, 0.2, 'loss/supervised'),
    'ohem_keep': (OHEM, 0.9, 'loss/supervised'),
    'class_weights': ('supervised', (1, 2, 3, 4, 5), 'loss/supervised'),
    'selection.refinement': (S4MC, 'none', 'target/w/kept'),
    'selection.threshold': (S4MC, 'margin', 'target/w/kept'),
    'selection.tau_margin': (MARGIN, 0.2, 'target/w/kept'),
    'selection.alpha': (S4MC, 0.8, 'target/w/kept'),
    'selection.scope': (S4MC, 'image', 'target/w/kept'),
    'selection.alpha_end': (S4MC, 1.0, 'target/w/kept'),
    'selection.resolution': (S4MC, 'logits', 'target/w/kept'),
    'selection.window': (S4MC, 5, 'target/w/kept'),
    'selection.connectivity': (S4MC, 4, 'target/w/kept'),
    'selection.neighbors': (S4MC, 3, 'target/w/kept'),
    'selection.decay': (S4MC, 1.0, 'target/w/kept'),
    'selection.coherence': (TABLE, (0.1, 0.9, 0.5, 0.2, 0.9), 'target/w/kept'),
    'selection.normalizer': (S4MC, 'valid', 'loss/consistency'),
    'selection.matched': (S4MC, 'unrefined', 'target/w/kept'),
    'masks.patch': (MASKMATCH, 4, 'visible/w_masked'),
    'masks.x_kind': (MASKSUP, 'freeform', 'visible/x_masked'),
    'masks.w_kind': (MASKMATCH, 'freeform', 'visible/w_masked'),
    'masks.s_kind': ('s4mim_semantic', 'freeform', 'visible/s1_masked'),
    'masks.x_ratio': (MASKSUP, 0.25, 'visible/x_masked'),
    'masks.w_ratio': (MASKMATCH, 0.25, 'visible/w_masked'),
    'masks.s_ratio': ('s4mim_semantic', 0.25, 'visible/s1_masked'),
    'masks.freeform': ('masksup', (0.2, 0.3), 'visible/x_masked'),
    'masks.statistics': (MASKMATCH, 'running', 'logits/w_masked'),
    'masks.loss_on': (MASKMATCH, 'hidden', 'loss/masked_consistency'),
    'masks.w_photometric': (MASKMATCH, False, 'image/w_photometric logits/w_masked'),
    'masks.input_scope': (S4MIM, 'class_sampled', 'visible/x_masked part/x_masked part/s1_masked'),
    'similarity_loss': (MASKSUP, 'kl', 'loss/similarity'),
    'similarity_unlabeled': (MASKSUP, True, 'image/w logits/w_masked loss/similarity'),
    'mim.views': (S4MIM, ('x',), 'reconstructed/w_masked loss/class_wise_mim loss/feature_aggregation'),
    'mim.semantic_views': (S4MIM, ('x',), 'loss/semantic_mim'),
    'mim.scope': (S4MIM, 'image', 'reconstructed/x_masked reconstructed/s1_masked loss/class_wise_mim'),
    'mim.tau': (S4MIM, 0.3, 'part/w_masked part/s1_masked loss/feature_aggregation'),
    'mim.ramp': (S4MIM, 0.6, 'loss/class_wise_mim loss/feature_aggregation'),
    'mim.patch_norm': (S4MIM, True, 'loss/class_wise_mim'),
    'mim.width': (S4MIM, 32, 'reconstructed/x_masked'),
    'mim.layers': (S4MIM, 3, 'reconstructed/x_masked'),
    'mim.aggregation': (S4MIM, 'prototype', 'loss/feature_aggregation'),
    'mim.prototype_from': (S4MIM, 'unmasked', 'loss/feature_aggregation'),
    'teacher.kind': ('fixmatch', 'ema', 'logits/x target/w/confidence'),
    'teacher.scales': ('fixmatch', (0.5, 1.0), 'target/w/confidence'),
    'cutmix.probability': ('fixmatch', 0.0, 'image/s1 target/s1/confidence'),
    'cutmix.partner': ('fixmatch', 'independent', 'image/s1 target/s1/confidence'),
    'cutmix.area': ('fixmatch', (0.9, 1.0), 'image/s1'),
    'cutmix.aspect': ('fixmatch', (1.0, 1.0), 'image/s1'),
}
WHOLE = ('logits/x', 'logits/w', 'logits/s1', 'logits/s2', 'logits/w_dropped')
MASKED = ('logits/x_masked', 'logits/w_masked', 'logits/s1_masked')
STAGES = (('image',), WHOLE, ('target',), ('visible', 'part'), MASKED, ('reconstructed',), ('loss',),
          ('state',))  # as a step goes


def another(key):
    """A valid value of a Key other than its default."""
    if key.choices:
        return next(value for value in key.choices if value != key.default)
    if isinstance(key.default, bool):
        return not key.default
    values = [key.default + 1] if isinstance(key.default, int) else [key.default / 2, key.default + 0.5]
    return next(value for value in values if value != key.default and key.fault(value) is None)


def discovered(table, listed=LISTED):
    """A row for each number, switch and choice that terms have and nobody has listed: it moves the term's loss, or
    what the term carries."""
    return {dotted: (f'fixmatch,{name}=0.5', another(key), f'loss/{name}|state/{name}')
            for name, term in table.items() if hasattr(term, 'defaults')
            for dotted, key in term.defaults().items() if dotted not in (*listed, *SHOWN) and key.default is not None}


SWITCHES = LISTED | discovered(terms.TERMS)


def switches(node, prefix=''):
    for key in node:
        inner = node[key]
        grouped = isinstance(inner, ml_collections.ConfigDict)
        yield from switches(inner, f'{prefix}{key}.') if grouped else [prefix + key]


def stage(name):
    return next(i for i, names in enumerate(STAGES) if name in names or name.split('/')[0] in names)


@functools.cache
def networks():
    """Variables of a student and of another network, its teacher."""
    model = tiny_network.build(small('supervised').model, tiny.CLASSES)
    return model, *(model.init(jax.random.key(seed), jnp.zeros((1, 32, 32, 3))) for seed in (0, 1))


def observe(config):
    """Everything of one forward pass by name, computed operation by operation: nothing is compiled as a whole."""
    model, student, teacher = networks()
    params = student['params']
    if config.method.class_wise_mim:
        like = jnp.zeros((1, 2, 2, 8)), jnp.zeros((1, 2, 2), jnp.int32)
        decoder = pixel_decoder(config).init(jax.random.key(2), *like)['params']
        params = params | {'pixel_decoder': decoder}
    with_partner = config.copy_and_resolve_references()
    with_partner.method.cutmix.partner = 'independent'  # the same bytes, whether the partner is looked at or not
    batch = jax.tree.map(jnp.asarray, tiny.batch(with_partner))
    forward, _ = forward_pass(model, config, passes_of(config.method), Collectives(), student | {'params': params},
                              teacher, batch, StepRandomness(jnp.uint32(0), jnp.int32(4)),
                              term_states(config, tiny.CLASSES))
    decoded = reconstructed(forward) if config.method.class_wise_mim else {}
    seen = {f'{kind}/{name}': value for kind, values in (
        ('image', forward.images), ('logits', forward.logits), ('reconstructed', decoded),
        ('visible', {name: copy.visible for name, copy in forward.masked.items()}),
        ('part', {name: copy.class_region for name, copy in forward.masked.items()}),
        ('loss', {name: _value(term.loss(forward), Collectives())
                  for name, term in terms.active(config.method).items()})) for name, value in values.items()}
    for name, state in forward.states.items():
        updated = terms.active(config.method)[name].update(forward, state)
        seen[f'state/{name}'] = jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(updated)])
    for view, target in forward.targets.items():
        seen |= {f'target/{view}/{field}': getattr(target, field) for field in ('label', 'kept', 'confidence')}
    return jax.device_get(seen)


@functools.cache
def observed(run):
    return observe(small(run))


def test_every_switch_is_listed():
    assert sorted([*SWITCHES, *SHOWN, LABEL, MODULES]) == sorted(switches(base().method))
    for place in SHOWN.values():
        file, test = place.split('::')
        assert f'\ndef {test}(' in next(Path(__file__).parents[1].rglob(file)).read_text()


def test_keys_of_a_term_that_nobody_listed_have_rows():
    keys = {'new.share': share(0.5, ''), 'new.kind': Key('a', '', choices=('a', 'b')), 'new.on': Key(True, ''),
            'new.size': Key(None, '', kind=int), 'tau': share(0.95, '')}
    rows = discovered({'new': SimpleNamespace(defaults=lambda: keys), 'plain': SimpleNamespace()})
    assert {key: row[1] for key, row in rows.items()} == {'new.share': 0.25, 'new.kind': 'b', 'new.on': False}
    assert {row[0] for row in rows.values()} == {'fixmatch,new=0.5'}


@pytest.mark.parametrize('key', SWITCHES)
def test_a_switch_moves_what_it_names_and_nothing_before_it(key):
    run, value, named = SWITCHES[key]
    config = small(run, **{'method__' + key.replace('.', '__'): value})
    before, after = observed(run), observe(config)
    moved = {name for name in before.keys() | after.keys() if not (
        name in before and name in after and np.array_equal(before[name], after[name]))}
    named = [moved & set(choice.split('|')) for choice in named.split()]  # one of them at least
    assert all(named)
    first = min(map(stage, set.union(*named)))
    assert all(np.isfinite(value).all() for value in after.values())
    assert first <= min(map(stage, moved)), sorted(moved)
