"""Training with a ViT: the terms at stride 14, the sizes that it takes, and its group in the optimiser."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from s4mim_jax import models
from s4mim_jax.config.encoder_sizes import feature_stride, size_multiple
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.data.sizes import network_size
from s4mim_jax.evaluation import describe, infer, protocol_from
from s4mim_jax.parallel import Collectives
from s4mim_jax.pseudo_labels.teacher import ensemble
from s4mim_jax.training import create_state, make_train_step
from s4mim_jax.training.optimizer import make_optimizer, parameter_groups
from s4mim_jax.training.passes import Call
from s4mim_jax.training.perturbation import perturbation
from s4mim_jax.views.randomness import StepRandomness
from s4mim_jax.views.table import views_of


def config(method, **changes):
    c = tiny.config(method, crop=(42, 56), batch=2, **tiny.NO_JITTER, **changes)
    c.model.update(encoder='dinov2_vits14', decoder='dpt', vit_depth=4, vit_width=8, vit_heads=2, dpt_features=4,
                   dpt_channels=(4, 4, 4, 4))
    c.method.mim.update(width=8)
    return c


@pytest.mark.parametrize('method', [
    's4mim', *(pytest.param(method, marks=pytest.mark.slow) for method in ('unimatch_v2', 'union'))])
def test_a_step_trains_every_part(method):
    c = config(method)
    c.method.masks.freeform = (0.5, 0.6)  # on 3 x 4 positions the union's smaller holes hide none of them
    validate(c)
    state, step = create_state(c, tiny.CLASSES), make_train_step(c, tiny.CLASSES)
    new, metrics = step(state, tiny.batch(c))
    losses = {name: float(m.total) / float(m.count) for name, m in metrics.items() if name.startswith('loss')}
    assert all(np.isfinite(v) and v > 0 for v in losses.values())
    assert {name.removeprefix('loss/') for name in losses} >= {'unimatch_v2': {'supervised', 'consistency'}}.get(
        method, {'class_wise_mim', 'feature_aggregation', 'semantic_mim'})
    moved = lambda leaf: float(jnp.abs(leaf(new.params) - leaf(state.params)).max()) > 0
    assert moved(lambda p: p['encoder']['position_embedding'])
    assert moved(lambda p: p['encoder']['block1']['attention']['qkv']['kernel'])
    for tap in (1, 2, 3, 4):
        assert moved(lambda p, t=tap: p['decoder'][f'project{t}']['kernel'])
    if method != 'unimatch_v2':
        assert state.params['pixel_decoder']['pixels']['kernel'].shape[-1] == 3 * 14 ** 2
        assert moved(lambda p: p['pixel_decoder']['pixels']['kernel'])


@pytest.mark.parametrize('method, call', [('unimatch_v2', Call(('s1', 's2'), ('s1', 's2'))),
                                          ('unimatch', Call(('x', 'w'), ('x', 'w', 'w_dropped')))])
def test_channels_drop_on_all_four_maps(method, call):
    """UniMatch V2 drops the same channels on every map; UniMatch's dropout is drawn a map."""
    index = jnp.arange(2, dtype=jnp.int32)
    chosen = config(method)
    perturb = perturbation(call, views_of(chosen.method), dict.fromkeys(call.views, 2), chosen, Collectives(), index,
                           StepRandomness(jnp.uint32(0), jnp.int32(4)))
    changed = perturb(tuple(jnp.ones((4, 3, 4, 64)) for _ in range(4)))
    masks = [np.asarray(m[-2:, 0, 0]) for m in changed]
    assert len(masks) == 4
    assert all({0.0, 2.0} <= set(np.unique(mask)) <= {0.0, 1.0, 2.0} for mask in masks)
    same = [bool((mask == masks[0]).all()) for mask in masks[1:]]
    assert same == [method == 'unimatch_v2'] * 3


def test_sizes_are_facts_of_the_encoder():
    c = tiny.config()
    for encoder in models.ENCODERS:
        c.model.encoder = encoder
        patch = {'dinov2': 14, 'dinov3': 16}.get(encoder[:6]) if '_vit' in encoder else None
        expected = (patch, patch) if patch else (1, c.model.output_stride)
        assert (size_multiple(c.model), feature_stride(c.model)) == expected


def test_a_crop_of_half_patches_is_refused_with_the_nearest():
    c = config('supervised')
    c.data.crop = (321, 330)
    with pytest.raises(InputError) as error:
        validate(c)
    assert '--config.data.crop=(321, 330)' in str(error.value) and 'such as (322, 336)' in str(error.value)
    c.model.update(encoder='resnet18', vit_depth=None, vit_width=None, vit_heads=None)
    validate(c)


@pytest.mark.parametrize('multiple, expected', [(1, (182, 238)), (4, (168, 252)), (28, (168, 252))])
def test_evaluation_snaps_to_the_patch(multiple, expected):
    c = config('supervised')
    c.data.resize = None
    c.eval.multiple = multiple
    assert network_size((180, 240), c) == expected
    assert describe(c)['multiple'] == np.lcm(multiple, 14)


@pytest.mark.parametrize('mode', ['sliding', 'center_crop'])
def test_a_window_of_half_patches_is_refused(mode):
    c = config('supervised')
    c.eval.update(mode=mode, window=(42, 48))
    with pytest.raises(InputError, match=r'config.eval.window=\(42, 48\).*multiples of 14'):
        protocol_from(c)


@pytest.mark.parametrize('mode', ['whole', 'sliding'])
def test_logits_go_back_to_the_images_own_size(mode):
    """The network paints what it sees: at the own size every pixel must be where it was."""
    c = config('supervised')
    c.data.resize, c.eval.mode = None, mode
    own = (40, 61)
    size = network_size(own, c)
    assert size == (42, 56)
    seen = []

    def halves(variables, images):
        seen.append(images.shape[1:3])
        left = jnp.arange(images.shape[2]) < 28
        return jnp.broadcast_to(jnp.stack([left, ~left], -1).astype(jnp.float32), (*images.shape[:3], 2))

    ids, _ = infer(halves, {}, jnp.zeros((1, *size, 3), jnp.uint8), jnp.array([own], jnp.int32), own, protocol_from(c))
    assert all(n % 14 == 0 for shape in seen for n in shape)
    np.testing.assert_array_equal(ids[0], np.broadcast_to(np.arange(61) > 30, own))


@pytest.mark.parametrize('aligned', [True, False])
def test_the_teachers_scales_are_whole_patches(aligned):
    seen = []

    def outputs(images):
        seen.append(images.shape[1:3])
        return models.Outputs(jnp.zeros((*images.shape[:3], 2)), jnp.zeros((1, 24, 32, 2)), ())

    maps = ensemble(outputs, jnp.zeros((1, 42, 56, 3)), (0.75, 1.0, 1.25), 14, aligned, patches=True)
    assert seen == [(42, 56), (28, 42), (56, 70)]
    assert maps.full.shape == (1, 42, 56, 2)


def test_the_optimiser_takes_a_vit_as_the_encoder():
    """Rate and decay by first name: the token, the table and LayerNorm are the encoder's, all decay (UniMatch V2)."""
    c = config('supervised')
    c.optimizer.update(name='adamw', learning_rate=1e-3, head_multiplier=40.0, weight_decay=0.5, reference_batch=2,
                       schedule='constant')
    module = models.build(c.model, 3)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 28, 28, 3)))['params']
    groups = parameter_groups(shapes)
    assert set(jax.tree.leaves(groups['encoder'])) == {'encoder'}
    assert set(jax.tree.leaves(groups['decoder'])) == {'head'}
    parameters = {'encoder': {'norm': {'scale': jnp.full(3, 2.0)}, 'class_token': jnp.full((1, 1, 3), 2.0)},
                  'decoder': {'classifier': {'bias': jnp.full(3, 2.0)}}}
    optimizer = make_optimizer(c)
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    updates, _ = optimizer.update(zeros, optimizer.init(parameters), parameters)
    for leaf in jax.tree.leaves(updates['encoder']):
        np.testing.assert_allclose(leaf, -1e-3 * 0.5 * 2.0, rtol=1e-5)
    np.testing.assert_allclose(updates['decoder']['classifier']['bias'], -40e-3 * 0.5 * 2.0, rtol=1e-5)
