"""What every method weighs, written down by hand, and that the step adds its terms with these weights."""

import jax
import pytest
import tiny
import tiny_network

from configs import shapes
from s4mim_jax import terms
from s4mim_jax.config.command_line import load_config
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.methods import _methods
from s4mim_jax.training import create_state, make_train_step

HALVES = {'supervised': 1 / 2, 'consistency': 1 / 2}
UNIMATCH = {'supervised': 1 / 2, 'consistency': 1 / 4, 'feature_perturbation': 1 / 4}  # 1/4 s1 + 1/4 s2 are their mean
PIXELS, FEATURES = {'class_wise_mim': 0.1}, {'feature_aggregation': 0.1}
MASKSUP = {'supervised': 1, 'masked_supervision': 1, 'similarity': 1}
# Methods that are no host with an idea added, or whose idea has no cross-entropy of its own: alike in both forms.
HOSTS = {
    'supervised': {'supervised': 1},
    'fixmatch': HALVES, 'fixmatch_ema': HALVES, 's4mc': HALVES, 'unimatch_v2': HALVES,
    'unimatch': UNIMATCH, 's4mim_base': UNIMATCH, 'unimatch+s4mc': UNIMATCH,
    'masksup': MASKSUP, 'masksup_unet': MASKSUP,
    's4mim_pixel': UNIMATCH | PIXELS, 's4mim_plain': UNIMATCH | PIXELS, 's4mim_aggregation': UNIMATCH | FEATURES,
}
# The papers' form: each term joins the whole host, whose own weights stay what they are.
ADDED = HOSTS | {
    'maskmatch': HALVES | {'masked_consistency': 1 / 2},  # 1/2 [L_x + L_s + L_m]
    's4mim': UNIMATCH | {'semantic_mim': 1 / 2} | PIXELS | FEATURES,  # L_base + 1/2 L_sem + 0.1 L_pix + 0.1 L_agg
    's4mim_semantic': UNIMATCH | {'semantic_mim': 1 / 2},
    'union': UNIMATCH | {'masked_supervision': 1 / 2, 'similarity': 1 / 2, 'masked_consistency': 1 / 2,
                         'semantic_mim': 1 / 4} | PIXELS | FEATURES,
    # L_seg + L_context + L_sim, all of the weight of the host's L_x.
    'fixmatch+masksup': HALVES | {'masked_supervision': 1 / 2, 'similarity': 1 / 2},
    'unimatch+maskmatch': UNIMATCH | {'masked_consistency': 1 / 2},
    'unimatch_v2+maskmatch': HALVES | {'masked_consistency': 1 / 2},
    'unimatch+s4mim': UNIMATCH | {'semantic_mim': 1 / 2} | PIXELS | FEATURES,
    'maskmatch+s4mim': HALVES | {'masked_consistency': 1 / 2, 'semantic_mim': 1 / 2} | PIXELS | FEATURES,
    # The strong part of L_sem alone is left.
    'fixmatch+maskmatch+masksup+s4mim': HALVES | {
        'masked_consistency': 1 / 2, 'masked_supervision': 1 / 2, 'similarity': 1 / 2, 'semantic_mim': 1 / 4}
    | PIXELS | FEATURES,
}
# 1/2 mean(L_x, L_sem,x) + 1/2 mean(L_s, L_fp, L_sem,s, L_sem,w), and L_sem = 1/2 [x + 1/2 s + 1/2 w].
SEMANTIC = {'supervised': 1 / 4, 'consistency': 1 / 8, 'feature_perturbation': 1 / 8, 'semantic_mim': 1 / 2}
# The control: labelled and unlabelled cross-entropies weigh what they weigh in the host, 1/2 each.
EQUAL = HOSTS | {
    'maskmatch': {'supervised': 1 / 2, 'consistency': 1 / 4, 'masked_consistency': 1 / 4},
    's4mim': SEMANTIC | PIXELS | FEATURES,
    's4mim_semantic': SEMANTIC,
    'union': {'supervised': 1 / 4, 'masked_supervision': 1 / 4, 'similarity': 1 / 2, 'consistency': 1 / 8,
              'feature_perturbation': 1 / 8, 'masked_consistency': 1 / 8, 'semantic_mim': 1 / 8} | PIXELS | FEATURES,
    # The host's labelled weight of 1/2 takes the place of the 1 of L_x, L_context and L_sim; L_x and L_context share.
    'fixmatch+masksup': {'supervised': 1 / 4, 'masked_supervision': 1 / 4, 'similarity': 1 / 2, 'consistency': 1 / 2},
    'unimatch+maskmatch': {'supervised': 1 / 2, 'consistency': 1 / 8, 'feature_perturbation': 1 / 8,
                           'masked_consistency': 1 / 4},
    'unimatch_v2+maskmatch': {'supervised': 1 / 2, 'consistency': 1 / 4, 'masked_consistency': 1 / 4},
    'unimatch+s4mim': SEMANTIC | PIXELS | FEATURES,
    # L_m is the weak part of L_sem, which has a quarter for ~x and a quarter for ~s.
    'maskmatch+s4mim': {'supervised': 1 / 4, 'consistency': 1 / 8, 'masked_consistency': 1 / 8,
                        'semantic_mim': 1 / 2} | PIXELS | FEATURES,
    'fixmatch+maskmatch+masksup+s4mim': {
        'supervised': 1 / 4, 'masked_supervision': 1 / 4, 'similarity': 1 / 2, 'consistency': 1 / 8,
        'masked_consistency': 1 / 8, 'semantic_mim': 1 / 4} | PIXELS | FEATURES,
}


@pytest.mark.parametrize('weighting, table', [('added', ADDED), ('equal', EQUAL)])
def test_every_method_has_the_weights_of_its_formula(weighting, table):
    assert set(_methods(shapes.__file__)) <= set(table)
    for name, expected in table.items():
        method = shapes.get_config(f'{name},weighting={weighting}').method
        assert method.weighting == weighting and method.name == name
        assert {term: method[term] for term in terms.TERMS if method[term]} == pytest.approx(expected), name
        assert method.strong_views == (2 if name.startswith('unimatch') else 1)
    # What is not said is the papers' form.
    assert shapes.get_config('union').method.supervised == ADDED['union']['supervised']


@pytest.mark.parametrize('name', [name for name in ADDED if '+' in name])
def test_an_idea_leaves_the_weights_of_its_host_alone(name):
    host = shapes.get_config(name.partition('+')[0]).method
    method = shapes.get_config(name).method
    for term in terms.TERMS:
        if host[term]:
            assert method[term] == host[term], term


def test_holes_are_small_where_masksup_is_added_and_as_published_where_it_is_alone():
    holes = {name: shapes.get_config(name).method.masks.freeform
             for name in ('masksup', 'fixmatch+masksup', 'supervised+masksup', 'union')}
    assert holes == {'masksup': (0.5, 0.6), 'fixmatch+masksup': (0.2, 0.3), 'supervised+masksup': (0.2, 0.3),
                     'union': (0.2, 0.3)}


def test_weighting_as_a_flag_composes_the_method_anew(tmp_path):
    text = f'{shapes.__file__}:unimatch+maskmatch,tau=0.5'
    flag = load_config(text, [('method.weighting', 'equal')]).method
    setting = load_config(f'{text},weighting=equal', []).method
    assert flag.to_dict() == setting.to_dict() and flag.consistency == 1 / 8 and flag.tau == 0.5
    with pytest.raises(InputError, match=r'weighting=half.*\nvalid: added, equal'):
        load_config(text, [('method.weighting', 'half')])
    own = tmp_path / 'own.py'  # a file that does not hear of the argument would only be labelled
    own.write_text('from s4mim_jax.config import base\n\n\ndef get_config(argument=None):\n    return base()\n')
    with pytest.raises(InputError, match='does not compose its method'):
        load_config(str(own), [('method.weighting', 'equal')])


def test_the_loss_is_the_weighted_sum_of_the_terms(monkeypatch):
    """All terms, with weights that are told apart; no gradient is asked for, so none is compiled."""
    tiny_network.replace(monkeypatch)
    weights = {'supervised': 0.3, 'consistency': 0.7, 'feature_perturbation': 1.1, 'masked_consistency': 0.2,
               'masked_supervision': 0.9, 'similarity': 50.0, 'semantic_mim': 1.7, 'class_wise_mim': 2.3,
               'feature_aggregation': 3.1}
    weights |= {name: 0.4 + 0.05 * place for place, name in enumerate(terms.TERMS) if name not in weights}  # new ones
    config = tiny.config('union', crop=(16, 16), batch=2, model__output_stride=8, **tiny.NO_JITTER,
                         method__teacher__scales=(1.0,),
                         method__masks__x_kind='grid', **{f'method__{name}': w for name, w in weights.items()})
    step = make_train_step(config, tiny.CLASSES)
    losses = jax.jit(lambda state, batch: {k: v for k, v in step(state, batch)[1].items() if k.startswith('loss')})
    batch = tiny.batch(config)
    batch['labeled']['label'] *= batch['labeled']['label'] == 255  # one class, so that it has hidden and visible parts
    metrics = losses(create_state(config, tiny.CLASSES), batch)
    values = {name: float(metrics[f'loss/{name}'].total) for name in weights}
    assert set(metrics) == {'loss', *(f'loss/{name}' for name in weights)} and min(values.values()) > 1e-4
    assert float(metrics['loss'].total) == pytest.approx(sum(w * values[name] for name, w in weights.items()), rel=1e-5)
