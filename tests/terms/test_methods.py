"""Methods as data: what each asks for, how they combine, and that their weights are comparable."""

import pytest
import tiny

from configs import shapes
from s4mim_jax import terms
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.methods import _methods
from s4mim_jax.config.validation import validate
from s4mim_jax.training.passes import pass_costs, passes_of

METHODS = _methods(shapes.__file__)
UNION = (('x', 'w'), ('s1',), ('x_masked', 'w_masked', 's1_masked'))


def calls(name, **changes):
    return tuple(call.views for call in passes_of(tiny.config(name, **changes).method).calls)


@pytest.mark.parametrize('name', METHODS + ['unimatch+maskmatch', 'unimatch_v2+maskmatch', 'fixmatch+masksup',
                                            'unimatch+s4mc', 'fixmatch+s4mc+masksup', 'unimatch+s4mim'])
def test_every_method_is_a_valid_config(name):
    config = shapes.get_config(name)
    validate(config)
    assert config.method.name == name and pass_costs(config)


def test_network_calls_of_the_methods():
    assert calls('masksup') == (('x',), ('x_masked',))
    assert calls('s4mc') == calls('fixmatch') == (('x', 'w'), ('s1',))
    assert calls('maskmatch') == (('x',), ('s1',), ('w_masked',))  # the EMA sees w whole
    assert calls('s4mim') == calls('union') == UNION
    assert calls('s4mim_base') == UNION[:2]
    assert calls('s4mim_semantic') == UNION
    assert calls('unimatch+maskmatch') == (('w', 'x')[::-1], ('s1', 's2'), ('w_masked',))
    decoded = passes_of(tiny.config('union').method).calls[0].decoded
    assert decoded == ('x', 'w', 'w_dropped')


def test_one_masked_copy_serves_all_terms():
    """Dropping any one term of union drops no copy that another still needs, and the last one drops it."""
    assert calls('union', method__class_wise_mim=0.0) == UNION
    off = dict(method__class_wise_mim=0.0, method__feature_aggregation=0.0, method__similarity=0.0)
    assert calls('union', **off, method__masked_supervision=0.0)[2] == ('w_masked', 's1_masked')
    assert calls('union', **off, method__masked_consistency=0.0)[2] == ('x_masked', 's1_masked')
    assert calls('union', **off, method__semantic_mim=0.0)[2] == ('x_masked', 'w_masked')


def test_counted_images():
    rows = pass_costs(tiny.config('union', batch=8))
    assert [(row['encoded'], row['decoded'], row['gradient']) for row in rows] == [
        (24, 24, False), (16, 24, True), (8, 8, True), (24, 24, True)]
    # Another crop as the CutMix partner is looked at once more, at every scale.
    rows = pass_costs(tiny.config('maskmatch', batch=8, method__cutmix__partner='self_view'))
    assert rows[0]['encoded'] == 48


def constant_scene(name):
    """Every cross-entropy has one known value: labelled ones 1, unlabelled ones 10; the rest 0."""
    method = shapes.get_config(name).method
    shares = {'supervised': 1, 'masked_supervision': 1, 'consistency': 10, 'feature_perturbation': 10,
              'masked_consistency': 10}
    total = sum(method[term] * value for term, value in shares.items())
    if method.semantic_mim:
        views = tuple(method.mim.semantic_views)
        both = 'x' in views and len(views) > 1
        total += method.semantic_mim * (5.5 if both else 1 if views == ('x',) else 10)
    return total


@pytest.mark.parametrize('name', ['fixmatch', 'unimatch', 'maskmatch', 's4mc', 's4mim_base', 's4mim', 's4mim_semantic',
                                  'union', 'unimatch+maskmatch', 'fixmatch+masksup', 'unimatch+s4mim',
                                  'maskmatch+s4mim', 'fixmatch+masksup+s4mim', 'fixmatch+maskmatch+masksup+s4mim',
                                  'fixmatch+s4mim+maskmatch'])
def test_no_method_wins_by_weight_in_the_equal_form(name):
    """Labelled and unlabelled cross-entropies weigh one half each: 1/2 * 1 + 1/2 * 10."""
    assert constant_scene(f'{name},weighting=equal') == pytest.approx(5.5)


def test_s4mim_counts_a_masked_copy_that_its_host_segments_once():
    for weighting in ('added', 'equal'):
        get = lambda name: shapes.get_config(f'{name},weighting={weighting}').method
        method = get('fixmatch+maskmatch+masksup+s4mim')
        assert tuple(method.mim.semantic_views) == ('s',) and method.semantic_mim == 0.25
        assert tuple(get('maskmatch+s4mim').mim.semantic_views) == ('x', 's')
        labeled = get('supervised+s4mim')  # nothing unlabelled comes in
        assert labeled.semantic_mim == 0.5 and labeled.supervised == (1.0 if weighting == 'added' else 0.5)
        assert passes_of(labeled).views == ('x',) and passes_of(labeled).masked == ('x_masked',)


def test_unimatch_v2_averages_the_teachers_statistics_as_released():
    assert shapes.get_config('unimatch_v2').method.teacher.batch_stats == 'ema'
    assert shapes.get_config('maskmatch').method.teacher.batch_stats == 'copy'


def test_only_ideas_can_be_added():
    with pytest.raises(InputError, match='cannot be added'):
        shapes.get_config('fixmatch+unimatch')
    with pytest.raises(InputError, match='unknown method'):
        shapes.get_config('fixmatch+nothing')


def test_settings_with_brackets():
    config = shapes.get_config('maskmatch,teacher.scales=(0.5, 1.0),masks.w_ratio=0.3,crop=(64, 80)')
    assert tuple(config.method.teacher.scales) == (0.5, 1.0)
    assert tuple(config.data.crop) == (64, 80) and config.method.masks.w_ratio == 0.3


@pytest.mark.parametrize('key,value', [
    ('selection.refinement', 'union'), ('selection.matched', 'unrefined'), ('selection.matched', 'single_scale'),
    ('selection.window', 4), ('selection.neighbors', 9), ('teacher.scales', (0.5,)), ('teacher.scales', (1.0, 1.0)),
    ('mim.views', ()), ('mim.semantic_views', ('y',)), ('mim.layers', 1), ('masks.freeform', (0.5, 1.0)),
    ('masks.w_ratio', 1.5), ('selection.threshold', 'quantile')])
def test_impossible_slots_are_refused_by_name(key, value):
    config = shapes.get_config('fixmatch')
    group, name = key.split('.')
    config.method[group][name] = value
    with pytest.raises(InputError, match=key.replace('.', r'\.')):
        validate(config)


@pytest.mark.parametrize('argument, key, remedy', [
    ('s4mc,selection.threshold=confidence', 'refinement', 'threshold=margin or partition'),
    ('s4mc,selection.threshold=margin,selection.alpha_end=0.15', 'alpha_end', 'threshold=partition'),
    ('s4mc,selection.refinement=none,selection.decay=0.5', 'decay', 'refinement=union or coherence'),
    ('s4mc,selection.threshold=margin,selection.alpha=0.8', 'alpha', 'threshold=partition'),
    ('s4mc,selection.tau_margin=0.5', 'tau_margin', 'threshold=margin'),
    ('fixmatch,selection.connectivity=4', 'connectivity', 'refinement=union or coherence'),
    ('s4mc,selection.coherence=(0.5, 0.5)', 'coherence', 'refinement=coherence')])
def test_a_setting_without_effect_is_refused_with_what_would_give_it_one(argument, key, remedy):
    validate(shapes.get_config('s4mc,selection.alpha_end=0.15,selection.decay=0.5'))
    with pytest.raises(InputError, match=rf'selection\.{key}=.*\n.*{remedy}'):
        validate(shapes.get_config(argument))


def test_s4mc_is_at_full_resolution_as_released():
    assert shapes.get_config('s4mc').method.selection.resolution == 'full'


# A term beside them may still have no method.
PUBLISHED = {'supervised', 'consistency', 'feature_perturbation', 'masked_consistency', 'masked_supervision',
             'similarity', 'semantic_mim', 'class_wise_mim', 'feature_aggregation'}


def test_every_term_of_the_papers_is_active_somewhere():
    seen = {name for method in METHODS for name in terms.active(shapes.get_config(method).method)}
    assert PUBLISHED <= seen <= set(terms.TERMS)
