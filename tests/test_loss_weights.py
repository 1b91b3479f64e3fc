"""What every method weighs, written down by hand, and that the step adds its terms with these weights."""

import jax
import pytest
import tiny
import tiny_network

from configs import shapes
from s4mim_jax import terms
from s4mim_jax.config.methods import _methods
from s4mim_jax.training import create_state, make_train_step

HALVES = {'supervised': 1 / 2, 'consistency': 1 / 2}
UNIMATCH = {'supervised': 1 / 2, 'consistency': 1 / 4, 'feature_perturbation': 1 / 4}  # 1/4 s1 + 1/4 s2 are their mean
# 1/2 mean(L_x, L_sem,x) + 1/2 mean(L_s, L_fp, L_sem,s, L_sem,w), and L_sem = 1/2 [x + 1/2 s + 1/2 w].
SEMANTIC = {'supervised': 1 / 4, 'consistency': 1 / 8, 'feature_perturbation': 1 / 8, 'semantic_mim': 1 / 2}
PIXELS, FEATURES = {'class_wise_mim': 0.1}, {'feature_aggregation': 0.1}
MASKSUP = {'supervised': 1, 'masked_supervision': 1, 'similarity': 1}
WEIGHTS = {
    'supervised': {'supervised': 1},
    'fixmatch': HALVES, 'fixmatch_ema': HALVES, 's4mc': HALVES, 'unimatch_v2': HALVES,
    'unimatch': UNIMATCH, 's4mim_base': UNIMATCH,
    'maskmatch': {'supervised': 1 / 2, 'consistency': 1 / 4, 'masked_consistency': 1 / 4},
    'masksup': MASKSUP, 'masksup_unet': MASKSUP,
    's4mim': SEMANTIC | PIXELS | FEATURES,
    's4mim_semantic': SEMANTIC,
    's4mim_pixel': UNIMATCH | PIXELS, 's4mim_plain': UNIMATCH | PIXELS, 's4mim_aggregation': UNIMATCH | FEATURES,
    'union': {'supervised': 1 / 4, 'masked_supervision': 1 / 4, 'similarity': 1 / 2, 'consistency': 1 / 8,
              'feature_perturbation': 1 / 8, 'masked_consistency': 1 / 8, 'semantic_mim': 1 / 8} | PIXELS | FEATURES,
}
TOGETHER = {
    # The host's labelled weight of 1/2 takes the place of the 1 of L_x, L_context and L_sim; L_x and L_context share.
    'fixmatch+masksup': {'supervised': 1 / 4, 'masked_supervision': 1 / 4, 'similarity': 1 / 2, 'consistency': 1 / 2},
    'unimatch+maskmatch': {'supervised': 1 / 2, 'consistency': 1 / 8, 'feature_perturbation': 1 / 8,
                           'masked_consistency': 1 / 4},
    'unimatch_v2+maskmatch': {'supervised': 1 / 2, 'consistency': 1 / 4, 'masked_consistency': 1 / 4},
    'unimatch+s4mc': UNIMATCH,
    'unimatch+s4mim': SEMANTIC | PIXELS | FEATURES,
    # L_m is the weak part of L_sem, which has a quarter for ~x and a quarter for ~s.
    'maskmatch+s4mim': {'supervised': 1 / 4, 'consistency': 1 / 8, 'masked_consistency': 1 / 8,
                        'semantic_mim': 1 / 2} | PIXELS | FEATURES,
    # The uneven form: L_base + 1/2 L_sem + 0.1 L_pix + 0.1 L_agg.
    's4mim,supervised=0.5,consistency=0.25,feature_perturbation=0.25':
        UNIMATCH | {'semantic_mim': 1 / 2} | PIXELS | FEATURES,
}


@pytest.mark.parametrize('name', [*_methods(shapes.__file__), *TOGETHER])
def test_every_method_has_the_weights_of_its_formula(name):
    method = shapes.get_config(name).method
    expected = (WEIGHTS | TOGETHER)[name]
    assert {term: method[term] for term in terms.TERMS if method[term]} == pytest.approx(expected)
    strong = 2 if name.startswith('unimatch') else 1
    assert method.strong_views == strong


def test_the_loss_is_the_weighted_sum_of_the_terms(monkeypatch):
    """All nine terms, with weights that are told apart; no gradient is asked for, so none is compiled."""
    tiny_network.replace(monkeypatch)
    weights = {'supervised': 0.3, 'consistency': 0.7, 'feature_perturbation': 1.1, 'masked_consistency': 0.2,
               'masked_supervision': 0.9, 'similarity': 50.0, 'semantic_mim': 1.7, 'class_wise_mim': 2.3,
               'feature_aggregation': 3.1}
    assert set(weights) == set(terms.TERMS)
    config = tiny.config('union', crop=(16, 16), batch=2, model__output_stride=8, method__teacher__scales=(1.0,),
                         method__masks__x_kind='grid', **{f'method__{name}': w for name, w in weights.items()})
    step = make_train_step(config, tiny.CLASSES)
    losses = jax.jit(lambda state, batch: {k: v for k, v in step(state, batch)[1].items() if k.startswith('loss')})
    batch = tiny.batch(config)
    batch['labeled']['label'] *= batch['labeled']['label'] == 255  # one class, so that it has hidden and visible parts
    metrics = losses(create_state(config, tiny.CLASSES), batch)
    values = {name: float(metrics[f'loss/{name}'].total) for name in weights}
    assert set(metrics) == {'loss', *(f'loss/{name}' for name in weights)} and min(values.values()) > 1e-4
    assert float(metrics['loss'].total) == pytest.approx(sum(w * values[name] for name, w in weights.items()), rel=1e-5)
