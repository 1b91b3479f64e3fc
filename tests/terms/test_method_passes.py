"""Network passes of every method: what a step calls, what is told beforehand and what a weight of 0 leaves out."""


import jax
import numpy as np
import pages
import pytest
import tiny
import tiny_network
from flax import linen as nn
from jax.extend.core import jaxprs_in_params

from configs import shapes
from s4mim_jax import models
from s4mim_jax.config.methods import _methods
from s4mim_jax.planning.program import abstract_batch
from s4mim_jax.training import create_state, make_train_step
from s4mim_jax.training.passes import describe, pass_costs
from s4mim_jax.training.state import abstract_state

METHODS = _methods(shapes.__file__)
TOGETHER = ['unimatch+maskmatch', 'unimatch_v2+maskmatch', 'fixmatch+masksup', 'unimatch+s4mc', 'maskmatch+s4mim',
            'unimatch+s4mim', 'supervised+s4mim', 'fixmatch+maskmatch+masksup+s4mim']
VARIANTS = ['fixmatch,teacher.scales=(0.5, 1.0)', 'unimatch,teacher.scales=(0.5, 1.0, 1.5)',
            'maskmatch,cutmix.partner=self_view', 'maskmatch,masks.statistics=running', 'unimatch_v2,strong_views=1,'
            'complementary_dropout=false', 'supervised,similarity=1', 'fixmatch,consistency=0,feature_perturbation=1']
LABELED, UNLABELED = 2, 3  # unlike, so that a call tells whose images it has


@pytest.fixture(autouse=True)
def network(monkeypatch):
    tiny_network.replace(monkeypatch)


def small(method, **changes):
    config = tiny.config(method, **{'crop': (32, 32), 'model__output_stride': 8} | tiny.NO_JITTER | changes)
    config.batch.update(labeled=LABELED, unlabeled=UNLABELED)
    return config


def trace(config):
    """The step's jaxpr; nothing is compiled or computed."""
    return jax.make_jaxpr(make_train_step(config, tiny.CLASSES))(
        abstract_state(config, tiny.CLASSES), abstract_batch(config))


def calls(config):
    """[(images encoded, images decoded, training mode, with gradient)] of the network calls that a step makes."""
    state, step = abstract_state(config, tiny.CLASSES), make_train_step(config, tiny.CLASSES).__wrapped__
    found, parts, outside = [], [], []

    def note(call, arguments, options, context):
        result = call(*arguments, **options)
        if context.method_name == '__call__':
            if isinstance(context.module, (tiny_network.Encoder, tiny_network.Decoder)):
                parts.append(jax.tree.leaves(result)[0].shape[0])
            elif isinstance(context.module, models.Segmenter):
                # What is differentiated is traced by another tracer than the arguments of the step.
                found.append((*parts, options['train'], type(result.logits) is not outside[0]))
                parts.clear()
        return result

    def begin(state, batch):
        outside.append(type(batch['labeled']['image']))
        return step(state, batch)

    with nn.intercept_methods(note):
        new, metrics = jax.eval_shape(begin, state, abstract_batch(config))
    kinds = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    assert kinds(new) == kinds(state) and {'loss', 'gradient_norm'} <= set(metrics)
    return found


@pytest.mark.parametrize('name', METHODS + TOGETHER + VARIANTS)
def test_a_step_makes_the_calls_that_are_told(name):
    made, told = calls(small(name)), pass_costs(small(name))
    assert [call[:2] for call in made if call[3]] == [(r['encoded'], r['decoded']) for r in told if r['gradient']]
    for place, key in enumerate(('encoded', 'decoded')):
        assert sum(call[place] for call in made if not call[3]) == sum(r[key] for r in told if not r['gradient'])
    running = 'statistics=running' in name  # the masked copies, which come last
    assert [call[2] for call in made if call[3]][:-1 if running else None].count(False) == 0
    assert not any(call[2] for call in made if not call[3]) and (made[-1][2:] == (False, True)) == running


OFF = 'semantic_mim=0,class_wise_mim=0,feature_aggregation=0'
EMA = 'teacher.kind=ema,teacher.decay=0.999,teacher.scales=(0.75, 1.0, 1.25)'


@pytest.mark.parametrize('reduced, plain', [
    ('fixmatch,supervised=1,consistency=0', 'supervised'),
    ('masksup,masked_supervision=0,similarity=0', 'supervised'),
    ('maskmatch,masked_consistency=0', f'fixmatch,{EMA}'),
    (f's4mim,{OFF}', 's4mim_base'),
    ('s4mim,semantic_mim=0,feature_aggregation=0', 's4mim_pixel'),
    ('s4mim,semantic_mim=0,class_wise_mim=0', 's4mim_aggregation'),
    ('s4mim,class_wise_mim=0,feature_aggregation=0', 's4mim_semantic'),
    (f'union,{OFF}', 'fixmatch+maskmatch+masksup+s4mc,consistency=0.25,feature_perturbation=0.25,'
                      'selection.normalizer=valid'),
    (f'union,{OFF},masked_supervision=0,similarity=0,masked_consistency=0', f's4mim_base+s4mc,{EMA},'
                                                                                     'selection.normalizer=valid')])
def test_what_has_weight_0_leaves_no_trace_in_the_program(reduced, plain):
    """Letter by letter the program, parameters and all, of a method that does not know the term."""
    same = str(trace(small(reduced))) == str(trace(small(plain)))
    assert same  # by name, for pytest would compare two texts of a thousand lines


def products(jaxpr):
    """Numbers that convolutions and matrix products write, also those inside of other equations."""
    written = sum(equation.outvars[0].aval.size for equation in jaxpr.eqns
                  if equation.primitive.name in ('conv_general_dilated', 'dot_general'))
    return written + sum(products(inner) for e in jaxpr.eqns for inner in jaxprs_in_params(e.params))


def test_terms_of_the_union_without_weight_compute_less():
    """The pass of s1, the second decoding of w, the pixel decoder, prototypes."""
    whole = products(trace(small('union')).jaxpr)
    for name in ('consistency', 'feature_perturbation', 'class_wise_mim', 'feature_aggregation'):
        assert products(trace(small(f'union,{name}=0')).jaxpr) < whole, name


def documented():
    return {name.strip('`'): [int(cell) for cell in cells] for name, *cells in pages.rows('passes')}


def test_the_table_of_the_page_is_what_the_configs_give():
    def images(name):
        config = shapes.get_config(name)
        config.batch.update(labeled=8, unlabeled=8)
        rows = pass_costs(config)
        return [sum(row[key] for row in rows if row['gradient'] is gradient)
                for gradient in (True, False) for key in ('encoded', 'decoded')]

    found = documented()
    assert found == {name: images(name) for name in METHODS} and list(found) == METHODS
    # By hand, from the views that each method's section names.
    assert found['supervised'] == [8, 8, 0, 0] and found['fixmatch'] == [8 + 8 + 8, 8 + 8 + 8, 0, 0]
    assert found['union'] == [6 * 8, 7 * 8, 3 * 8, 3 * 8]


def test_what_train_prints_adds_up():
    config = small('union')
    assert describe(config).splitlines()[-1].split('together ')[1] == (
        '16 encoded and 19 decoded with gradient, 9 and 9 without')


@pytest.mark.slow
def test_an_idea_added_to_a_host_takes_a_step(monkeypatch):
    """UniMatch with MaskMatch on the real network."""
    monkeypatch.undo()
    config = tiny.config('unimatch+maskmatch', crop=(16, 16), batch=2, model__encoder='unet', model__decoder='unet',
                         model__output_stride=8, model__width=4, model__unet_widths=(4, 4, 4), method__tau=0.0)
    state = create_state(config, tiny.CLASSES)
    before = jax.device_get(state.params)
    after, metrics = make_train_step(config, tiny.CLASSES)(state, tiny.batch(config))
    for term in ('supervised', 'consistency', 'feature_perturbation', 'masked_consistency'):
        assert 0 < float(metrics[f'loss/{term}'].total) < 10
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, jax.device_get(after.params))
    assert all(jax.tree.leaves(changed))
    assert np.isfinite(float(metrics['gradient_norm'].total)) and after.ema is not None
