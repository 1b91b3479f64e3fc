"""Switches inside a compiled step: each changes what it should and nothing else."""

import jax
import numpy as np
import pytest
import tiny

from s4mim_jax.training import create_state, make_train_step


def leaves(tree):
    return [np.asarray(x, np.float64) for x in jax.tree.leaves(tree)]


def same(a, b, tolerance=0.0):
    return all(np.allclose(x, y, rtol=0, atol=tolerance) for x, y in zip(leaves(a), leaves(b), strict=True))


def small(method, **changes):
    return tiny.config(method, crop=(32, 32), batch=2, model__width=4, model__decoder_width=4, **changes)


def two_steps(config):
    state, step, states, metrics = create_state(config, tiny.CLASSES), make_train_step(config, tiny.CLASSES), [], []
    for number in range(2):
        state, values = step(state, tiny.batch(config, number))
        states.append(jax.device_get(state)), metrics.append(jax.device_get(values))
    return states, metrics


@pytest.mark.parametrize('statistics', ['copy', 'ema'])
def test_the_ema_teacher_follows_the_student(statistics):
    config = small('unimatch_v2', method__teacher__decay=0.25, method__teacher__batch_stats=statistics)
    first, second = two_steps(config)[0]
    assert same(first.ema['params'], first.params)  # decay 0 at the first update
    blend = lambda old, new: jax.tree.map(lambda a, b: 0.25 * a + 0.75 * b, old, new)
    assert same(second.ema['params'], blend(first.ema['params'], second.params), 1e-6)
    assert not same(second.ema['params'], second.params)
    followed = (blend(first.ema['batch_stats'], second.batch_stats) if statistics == 'ema' else second.batch_stats)
    assert same(second.ema['batch_stats'], followed, 1e-5)


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
