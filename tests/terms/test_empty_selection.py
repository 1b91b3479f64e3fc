"""Steps in which nothing is left to learn from: every loss, gradient and parameter stays finite."""

import jax
import numpy as np
import pytest
import tiny
import tiny_network

from s4mim_jax.training import create_state, make_train_step

LABELED = ('supervised', 'masked_supervision', 'similarity')
FILTERED = ('consistency', 'feature_perturbation', 'masked_consistency')
MODELING = ('semantic_mim', 'class_wise_mim', 'feature_aggregation')


def unlabeled(batch):
    batch['labeled']['label'][:] = 255


def invalid(batch):
    batch['unlabeled']['valid'][:] = False


def saying(state, bias):
    """The state with a student and a teacher that give these logits whatever they see."""
    params, teacher = jax.tree.map(np.array, (state.params, state.ema))
    for tree in [params] + ([teacher['params']] if teacher else []):
        tree['decoder']['Dense_0']['kernel'][:] = 0
        tree['decoder']['Dense_0']['bias'][:] = bias
    return state.replace(params=params, ema=teacher)


@pytest.mark.parametrize('method', ['s4mc', *(pytest.param(m, marks=pytest.mark.slow) for m in ('s4mim', 'union'))])
def test_a_step_with_nothing_to_learn_from_stays_finite(method, monkeypatch):
    """All cases differ in their data alone, so one program serves them."""
    tiny_network.replace(monkeypatch)
    config = tiny.config(method, crop=(16, 16), batch=2, model__output_stride=8, **tiny.NO_JITTER)
    state, compiled = create_state(config, tiny.CLASSES), make_train_step(config, tiny.CLASSES)

    def step(*changes, state=state):
        batch = tiny.batch(config)
        for change in changes:
            change(batch)
        after, metrics = jax.device_get(compiled(state, batch))
        for tree in (after.params, after.opt_state, after.batch_stats, after.ema, metrics):
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))
        values = {name: float(value.total) for name, value in metrics.items()}
        nothing = lambda names: all(values[f'loss/{n}'] == 0 for n in names if f'loss/{n}' in values)
        return metrics, values, nothing

    _, values, nothing = step()
    assert values['loss'] > 0 and not nothing(LABELED) and not nothing(FILTERED)
    _, values, nothing = step(unlabeled)
    assert nothing(LABELED) and not nothing(FILTERED)
    metrics, values, nothing = step(invalid)
    assert nothing(FILTERED) and metrics['pseudo_label/kept'].count == 0 and values['loss/supervised'] > 0
    _, values, nothing = step(unlabeled, invalid)
    assert nothing(LABELED + FILTERED + MODELING) and values['loss'] == values['gradient_norm'] == 0
    # All classes alike: no pixel is above a threshold and none takes part in masked modelling.
    metrics, values, nothing = step(state=saying(state, 0.0))
    assert values['pseudo_label/kept'] == 0 < metrics['pseudo_label/kept'].count and nothing(FILTERED)
    assert values['loss/supervised'] == pytest.approx(np.log(tiny.CLASSES), rel=1e-5)
    # One class beyond doubt: all takes part in masked modelling. Every margin is 1, so none is above the quantile.
    _, values, nothing = step(state=saying(state, [1000.0] + [0.0] * (tiny.CLASSES - 1)))
    assert values['pseudo_label/kept'] == (0 if config.method.selection.threshold == 'partition' else
                                           metrics['pseudo_label/kept'].count) and values['loss/supervised'] > 100
