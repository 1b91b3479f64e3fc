"""Networks: shapes, strides, switches and what each switch changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from s4mim_jax import models
from s4mim_jax.config import base
from s4mim_jax.config.command_line import load_config
from s4mim_jax.config.errors import InputError
from s4mim_jax.models.deeplabv3plus import without_reach
from s4mim_jax.models.initial import init_leaves, leaf_shapes
from s4mim_jax.models.layers import Style, block
from s4mim_jax.models.resnet import ResNet, ResNetBlock


def settings(encoder='resnet18', **changes):
    """A narrow network: a full-size one would only compile longer."""
    config = base().model
    config.update(dict(encoder=encoder, width=4, decoder_width=8, low_level_width=6, aspp_rates=(2, 4)))
    config.update(changes)
    return config


def narrow(**changes):
    module = models.build(settings(**changes), 3, axis_name=None)
    return module, models.init_variables(module, jax.random.key(0))


def encoder_parameters(**changes):
    shapes = leaf_shapes(models.build(settings(width=64, **changes), 3))
    return sum(int(np.prod(s)) for p, s in shapes.items() if p.startswith('params/encoder/'))


def test_rates_that_reach_past_a_training_crops_map_are_named():
    config = settings('resnet50', aspp_rates=(6, 12, 18), output_stride=16)
    assert without_reach(config, (321, 321)) == () and without_reach(config, (192, 400)) == (12, 18)
    config.output_stride = 8
    assert without_reach(config, (192, 400)) == (), 'a finer map'
    config.decoder = 'unet'
    assert without_reach(config, (16, 16)) == (), 'no ASPP'


@pytest.mark.parametrize('file', ['shapes', 'camvid', 'voc', 'cityscapes', 'ade20k', 'coco'])
def test_no_config_has_such_rates_at_its_own_crop(file):
    config = load_config(f'configs/{file}.py:fixmatch', [])
    assert without_reach(config.model, config.data.crop) == ()


@pytest.mark.parametrize('encoder, count', [
    # torchvision's counts without the classifier; MobileNetV2 also without features.18.
    ('mobilenet_v2', 2_223_872 - 412_160),
    ('resnet18', 11_689_512 - 513_000), ('resnet34', 21_797_672 - 513_000),
    ('resnet50', 25_557_032 - 2_049_000), ('resnet101', 44_549_160 - 2_049_000)])
def test_encoders_have_the_published_number_of_parameters(encoder, count):
    assert encoder_parameters(encoder=encoder) == count


def test_deep_stem_is_three_convolutions_scaled_by_the_width():
    shapes = leaf_shapes(models.build(settings(stem='deep', width=32), 3))
    kernels = [shapes[f'params/encoder/stem{i}/conv/kernel'] for i in (1, 2, 3)]
    assert kernels == [(3, 3, 3, 32), (3, 3, 32, 32), (3, 3, 32, 64)]
    assert leaf_shapes(models.build(settings(), 3))['params/encoder/stem1/conv/kernel'] == (7, 7, 3, 4)


@pytest.mark.parametrize('encoder, stem, stride, channels', [
    ('mobilenet_v2', '7x7', 8, (24, 320)), ('mobilenet_v2', '7x7', 16, (24, 320)),
    ('mobilenet_v2', '7x7', 32, (24, 320)),
    ('resnet18', '7x7', 8, (4, 32)), ('resnet18', 'deep', 16, (4, 32)), ('resnet50', 'deep', 32, (16, 128)),
    ('resnet50', '7x7', 8, (16, 128))])
@pytest.mark.parametrize('padding, size', [('symmetric', (64, 96)), ('same', (65, 33))])
def test_shapes(encoder, stem, stride, channels, padding, size):
    module = models.build(settings(encoder, stem=stem, output_stride=stride, padding=padding), 5)
    outputs = jax.eval_shape(lambda: module.init_with_output(
        jax.random.key(0), jnp.zeros((2, *size, 3)), train=True)[0])
    at = lambda s: tuple(-(-n // s) for n in size)
    assert [f.shape for f in outputs.features] == [(2, *at(4), channels[0]), (2, *at(stride), channels[1])]
    assert outputs.coarse.shape == (2, *at(4), 5)
    assert outputs.logits.shape == (2, *size, 5)


def test_parameters_are_grouped_and_float32_and_a_key_decides_them():
    module, variables = narrow()
    assert set(variables) == {'params', 'batch_stats'}
    assert set(variables['params']) == {'encoder', 'decoder'}
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    again = init_leaves(module, jax.random.key(0), lambda path: path.endswith('aspp/point/conv/kernel'))
    (path, kernel), = again.items()
    assert path == 'params/decoder/aspp/point/conv/kernel'
    np.testing.assert_array_equal(kernel, variables['params']['decoder']['aspp']['point']['conv']['kernel'])
    other = init_leaves(module, jax.random.key(1), lambda p: p == path)
    assert float(jnp.abs(other[path] - kernel).max()) > 0.1


@pytest.mark.parametrize('encoder', ['mobilenet_v2', 'resnet18', 'resnet50'])
def test_dilation_keeps_the_features_of_the_strided_network(encoder):
    """Where strides became dilations, every fourth pixel is what the strided network computes."""
    images = jax.random.normal(jax.random.key(1), (1, 64, 64, 3))
    variables, high = None, {}
    for stride in (32, 8):
        module = models.build(settings(encoder, output_stride=stride), 3)
        variables = variables or models.init_variables(module, jax.random.key(0))
        encode = jax.jit(lambda v, m=module: m.apply(v, images, method=lambda m, x: m.encoder(x, False)))
        high[stride] = encode(variables)[-1]
    scale = float(jnp.abs(high[32]).max())
    assert scale > 0
    np.testing.assert_allclose(high[8][:, ::4, ::4] / scale, high[32] / scale, atol=1e-5)


def reached(layers, start):
    """(first, last) output that an input pixel changes; layers: (kernel, stride, dilation), padding symmetric."""
    first = last = start
    for kernel, stride, dilation in layers:
        reach = dilation * (kernel - 1) // 2
        first, last = -((reach - first) // stride), (last + reach) // stride
    return first, last


@pytest.mark.parametrize('bottleneck', [True, False])
@pytest.mark.parametrize('grid, factors', [(None, (1, 1, 1)), ((2, 2, 4), (2, 2, 4))])
def test_multi_grid_widens_the_field_of_the_last_stage(bottleneck, grid, factors):
    """At stride 8 the last stage has dilations 2, 4, 4 times the factors; the 2 is torchvision's."""
    width, start = 2048, 1024
    module = ResNet((1, 1, 1, 3), bottleneck, Style(), output_stride=8, width=1, multi_grid=grid)
    image = jnp.zeros((1, 8, width, 3)).at[:, 4, start].set(1.0)
    variables = jax.jit(lambda key: module.init(key, image, False))(jax.random.key(0))
    # With positive kernels and an empty image around it, a pixel is seen wherever it can be.
    variables = jax.tree.map(lambda x: jnp.full(x.shape, 0.5) if x.ndim == 4 else x, variables)
    high = jax.jit(lambda v: module.apply(v, image, False)[-1])(variables)
    seen = np.flatnonzero(np.asarray(high[0]).max((0, 2)) > 0)
    # A bottleneck has one 3x3 convolution, a basic block two.
    threes = lambda first, later, stride=1: [(3, stride, first), (3, 1, later)][:1 if bottleneck else 2]
    stages = [(7, 2, 1), (3, 2, 1), *threes(1, 1), *threes(1, 1, 2), *threes(1, 2)]
    last = [layer for i, f in enumerate(factors) for layer in threes((4 if i else 2) * f, 4 * f)]
    assert (seen[0], seen[-1]) == reached([*stages, *last], start)
    assert 0 < seen[0] and seen[-1] < high.shape[2] - 1


@pytest.mark.parametrize('encoder, grid, valid', [
    ('resnet50', (1, 2), '3 positive integers, as (1, 2, 4)'),
    ('resnet18', (1, 2, 4), '2 positive integers, as (1, 2)'),
    ('resnet50', (1, 2, 0), 'positive'), ('mobilenet_v2', (1, 2, 4), 'None')])
def test_a_multi_grid_that_does_not_fit_is_refused(encoder, grid, valid):
    with pytest.raises(InputError, match='config.model.multi_grid=') as error:
        models.build(settings(encoder, multi_grid=grid), 3)
    assert valid in str(error.value)


def test_perturb_acts_between_encoder_and_decoder_and_may_grow_the_batch():
    module, variables = narrow()
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))

    def twice(maps):
        return tuple(jnp.concatenate([m, 2 * m]) for m in maps)

    run = jax.jit(lambda v: (module.apply(v, images), module.apply(v, images, perturb=twice)))
    plain, grown = run(variables)
    assert grown.logits.shape == (4, 32, 32, 3)
    np.testing.assert_allclose(grown.logits[:2], plain.logits, atol=1e-5)
    assert float(jnp.abs(grown.logits[2:] - plain.logits).max()) > 1e-3
    jax.tree.map(np.testing.assert_array_equal, grown.features, plain.features)


def test_bfloat16_computes_in_it_and_keeps_the_rest_in_float32():
    module = models.build(settings(), 3, dtype=jnp.bfloat16)
    outputs, variables = jax.eval_shape(lambda: module.init_with_output(
        jax.random.key(0), jnp.zeros((2, 32, 32, 3)), train=True))
    assert {f.dtype for f in outputs.features} == {jnp.dtype('bfloat16')}
    assert outputs.logits.dtype == outputs.coarse.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype('float32')}


def test_remat_changes_memory_only():
    images = jnp.zeros((2, 32, 32, 3))
    for remat, blocks in ((True, 8), (False, 0)):
        module = models.build(settings(remat=remat), 3)
        text = str(jax.make_jaxpr(lambda v, m=module: m.apply(v, images, True, mutable=['batch_stats'])[0])(
            jax.eval_shape(module.init, jax.random.key(0), images)))
        assert text.count('remat2[') + text.count('checkpoint[') == blocks
    x = jax.random.normal(jax.random.key(1), (2, 6, 6, 8))

    @jax.jit
    def both(key):
        results = []
        for remat in (False, True):
            style = Style(remat=remat)
            module = block(ResNetBlock, style)(4, False, style, 2)
            variables = module.init(key, x, True)
            results.append(jax.value_and_grad(lambda v, m=module: jnp.sum(jnp.sin(
                m.apply(v, x, True, mutable=['batch_stats'])[0])))(variables))
        return results

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *both(jax.random.key(0)))


def test_frozen_norm_holds_the_encoders_statistics_only():
    changed = {}
    images = jax.random.normal(jax.random.key(1), (2, 32, 32, 3))
    for frozen in (False, True):
        module, variables = narrow(freeze_norm=frozen)
        changed[frozen] = jax.jit(lambda v, x, m=module: m.apply(v, x, True, mutable=['batch_stats'])[1])(
            variables, images)['batch_stats']
    moved = lambda part, frozen: [float(jnp.abs(a - b).max()) > 0 for a, b in zip(
        jax.tree.leaves(changed[frozen][part]), jax.tree.leaves(variables['batch_stats'][part]))]
    assert all(moved('encoder', False)) and all(moved('decoder', False)) and all(moved('decoder', True))
    assert not any(moved('encoder', True))


def test_group_norm_has_no_running_state():
    shapes = leaf_shapes(models.build(settings(norm='group'), 3))
    assert {p.split('/')[0] for p in shapes} == {'params'}


def test_align_corners_reaches_both_resizes():
    images = jax.random.normal(jax.random.key(1), (1, 32, 48, 3))
    module, variables = narrow()
    results = {}
    for aligned in (False, True):
        module = models.build(settings(align_corners=aligned), 3)
        results[aligned] = jax.jit(lambda v, m=module: m.apply(v, images))(variables)
        np.testing.assert_allclose(results[aligned].logits, models.resize_bilinear(
            results[aligned].coarse, (32, 48), aligned), atol=1e-6, rtol=1e-5)
    assert float(jnp.abs(results[True].coarse - results[False].coarse).max()) > 1e-4


def test_one_batch_over_eight_devices_is_one_batch():
    mesh = Mesh(np.array(jax.devices()[:8]), ('data',))
    images = jax.random.normal(jax.random.key(1), (8, 32, 32, 3))
    single, variables = narrow()
    synced = models.build(settings(), 3, axis_name='data')

    def train(module):
        def apply(v, x):
            outputs, changed = module.apply(v, x, True, mutable=['batch_stats'])
            return outputs.logits, changed['batch_stats']
        return apply

    spread = jax.jit(jax.shard_map(train(synced), mesh=mesh, in_specs=(P(), P('data')),
                                   out_specs=(P('data'), P()), check_vma=False))(variables, images)
    alone = jax.jit(train(single))(variables, images)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4, rtol=1e-3), spread, alone)


def test_another_platform_takes_xlas_own_convolutions():
    images = jnp.zeros((1, 32, 32, 3))
    counts = {}
    for platform in ('cpu', 'tpu'):
        module = models.build(settings('mobilenet_v2', aspp_rates=(6, 12, 18)), 3, platform=platform)
        variables = jax.eval_shape(module.init, jax.random.key(0), images)
        text = str(jax.make_jaxpr(lambda v, m=module: m.apply(v, images).logits)(variables))
        counts[platform] = text.count('conv_general_dilated[')
    assert counts['tpu'] == 1 + 2 + 16 * 3 + 10  # stem, first block, other blocks; decoder
    assert counts['cpu'] == 3  # the stem and the two fusing convolutions


@pytest.mark.parametrize('key, value, valid', [
    ('encoder', 'resnet19', 'mobilenet_v2, resnet18, resnet34, resnet50, resnet101'),
    ('decoder', 'fcn', 'deeplabv3plus'), ('stem', '5x5', '7x7, deep'), ('output_stride', 4, '8, 16, 32'),
    ('padding', 'valid', 'symmetric, same'), ('norm', 'layer', 'batch, group'),
    ('aspp_rates', (6, -1), 'positive integers'), ('width', 0, 'at least 1')])
def test_unknown_values_are_refused_with_the_valid_ones(key, value, valid):
    with pytest.raises(InputError) as error:
        models.build(settings(**{key: value}), 3)
    assert f'config.model.{key}=' in str(error.value) and valid in str(error.value)
    assert str(error.value).count('\n') < 3
