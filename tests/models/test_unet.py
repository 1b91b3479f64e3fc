"""U-Net: its published size, every encoder in front of it, skips that are used, a step of training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from configs import folder
from s4mim_jax import models
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import read, validate
from s4mim_jax.models import build_model
from s4mim_jax.models.initial import leaf_shapes
from s4mim_jax.models.layers import Style
from s4mim_jax.models.unet import UpConv
from s4mim_jax.training import create_state, make_train_step
from s4mim_jax.training.optimizer import base_learning_rate
from s4mim_jax.views.masked import mask_view
from s4mim_jax.views.randomness import StepRandomness

FINEST = {'unet': 1, 'dinov3_convnext_tiny': 4}  # stride of an encoder's finest map; 2 for the others


def settings(encoder='unet', **changes):
    config = base().model
    config.update(encoder=encoder, decoder='unet', width=4, output_stride=8, unet_widths=(10, 8, 6, 4))
    config.update(changes)
    return config


def parameters(**changes):
    shapes = leaf_shapes(models.build(settings(**changes), 1))
    return sum(int(np.prod(shape)) for path, shape in shapes.items() if path.startswith('params/'))


def test_number_of_parameters():
    # MaskSup's U-Net has 31,043,521 of which 5,888 are biases of its 18 convolutions in front of a norm.
    assert parameters(unet_widths=(512, 256, 128, 64), output_stride=16) == 31_043_521 - 5_888
    double = lambda inputs, out: 9 * inputs * out + 9 * out * out + 2 * 2 * out
    up = lambda inputs, out: 4 * inputs * out + out
    expected = (double(3, 4) + double(4, 6) + double(6, 8) + double(8, 16)
                + up(16, 8) + double(16, 8) + up(8, 6) + double(12, 6) + up(6, 4) + double(8, 4) + 4 + 1)
    assert parameters() == expected


@pytest.mark.parametrize('encoder', [
    name for name in models.ENCODERS if '_vit' not in name and name[16:] not in ('small', 'base', 'large')])
@pytest.mark.parametrize('stride', [8, 16, 32])
def test_every_encoder_serves_it(encoder, stride, size=(64, 65)):
    padding = 'same' if stride == 16 else 'symmetric'
    module = models.build(settings(encoder, output_stride=stride, padding=padding,
                                   unet_widths=(12, 10, 8, 6, 4)), 5)
    outputs, variables = jax.eval_shape(lambda: module.init_with_output(
        jax.random.key(0), jnp.zeros((2, *size, 3)), train=True))
    finest = FINEST.get(encoder, 2)
    strides = [s for s in (1, 2, 4, 8, 16, 32) if finest <= s <= stride]
    at = lambda s: tuple(-(-n // s) for n in size)
    assert [f.shape[:3] for f in outputs.features] == [(2, *at(s)) for s in strides]
    assert outputs.coarse.shape == (2, *at(finest), 5)
    assert outputs.logits.shape == (2, *size, 5)
    assert outputs.logits.dtype == jnp.float32
    # The last width is that of the finest map, whatever the number of steps.
    last = variables['params']['decoder'][f'fuse{len(strides) - 1}']['conv2']['conv']['kernel']
    assert last.shape == (3, 3, 4, 4) and f'fuse{len(strides)}' not in variables['params']['decoder']


def test_the_maps_of_a_vit_become_strides_2_to_16():
    """Three steps, so the last three widths; each map is projected to its level's width before it is resized."""
    module = models.build(settings('dinov2_vits14', vit_depth=4, vit_width=16, unet_widths=(12, 10, 8, 6)), 5)
    outputs, variables = jax.eval_shape(lambda: module.init_with_output(
        jax.random.key(0), jnp.zeros((2, 42, 70, 3)), train=True))
    assert outputs.coarse.shape == (2, 21, 35, 5) and outputs.logits.shape == (2, 42, 70, 5)
    assert [f.shape for f in outputs.features] == [(2, 3, 5, 16)] * 4
    parts = variables['params']['decoder']
    assert [parts[f'project{i}']['conv']['kernel'].shape[2:] for i in (1, 2, 3, 4)] == [(16, w) for w in (6, 8, 10, 20)]
    assert [parts[f'up{i}']['kernel'].shape[2:] for i in (1, 2, 3)] == [(20, 10), (10, 8), (8, 6)]


@pytest.mark.parametrize('encoder', ['mobilenet_v2', 'resnet18', 'unet'])
def test_deeplab_gets_its_two_maps_and_the_same_encoder(encoder):
    shapes, images = {}, jnp.zeros((1, 64, 64, 3))
    for decoder in ('unet', 'deeplabv3plus'):
        module = models.build(settings(encoder, decoder=decoder), 3)
        outputs = jax.eval_shape(lambda m=module: m.init_with_output(jax.random.key(0), images)[0])
        leaves = {p: s for p, s in leaf_shapes(module).items() if '/encoder/' in p}
        shapes[decoder] = leaves, [f.shape for f in outputs.features]
    every, two = shapes['unet'][1], shapes['deeplabv3plus'][1]
    assert two == [next(s for s in every if s[1] == 16), every[-1]]
    assert shapes['unet'][0] == shapes['deeplabv3plus'][0]


def test_up_convolution_is_the_transposed_one():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    module = UpConv(6, Style())
    variables = module.init(jax.random.key(1), x)
    kernel = variables['params']['kernel']
    variables['params']['bias'] = bias = jnp.arange(6.0)
    # lax wants the kernel flipped, for it convolves over the input spread by the stride.
    expected = bias + jax.lax.conv_transpose(x, kernel[::-1, ::-1], (2, 2), 'VALID',
                                             dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
    np.testing.assert_allclose(module.apply(variables, x), expected, atol=1e-5)
    np.testing.assert_allclose(module.apply(variables, x)[:, 1::2, ::2], x @ kernel[1, 0] + bias, atol=1e-5)


@pytest.mark.parametrize('encoder', ['resnet18', 'unet'])
def test_forward_moves_statistics_and_every_skip_is_used(encoder):
    module = models.build(settings(encoder), 3)
    variables = models.init_variables(module, jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (2, 33, 32, 3))

    @jax.jit
    def run(variables, images):
        outputs, changed = module.apply(variables, images, True, mutable=['batch_stats'])
        plain = module.apply(variables, images)

        def decode(maps):
            logits = module.apply(variables, maps, False, method=lambda m, maps, train: m.decoder(maps, train))
            return jnp.sum(jnp.sin(logits))

        return outputs, plain, changed['batch_stats'], jax.grad(decode)(plain.features)

    outputs, plain, statistics, gradients = run(variables, images)
    for logits in (outputs.logits, plain.logits):
        assert logits.shape == (2, 33, 32, 3) and bool(jnp.isfinite(logits).all())
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()) > 0, statistics, variables['batch_stats'])
    assert all(jax.tree.leaves(moved))
    assert len(gradients) == len(plain.features) > 2
    assert all(float(jnp.abs(g).max()) > 0 for g in gradients)
    if encoder == 'unet':
        np.testing.assert_array_equal(plain.logits, plain.coarse)  # nothing left to resize


def test_remat_wraps_every_double_convolution():
    images = jnp.zeros((1, 16, 16, 3))
    for remat, blocks in ((True, 4 + 3), (False, 0)):
        module = models.build(settings(remat=remat), 3)
        text = str(jax.make_jaxpr(lambda v, m=module: m.apply(v, images, True, mutable=['batch_stats'])[0])(
            jax.eval_shape(module.init, jax.random.key(0), images)))
        assert text.count('remat2[') + text.count('checkpoint[') == blocks


def test_a_step_of_unimatch_with_dropped_channels():
    """Channels drop on every map that the decoder reads, so the hook has to take the whole pyramid."""
    config = tiny.config('unimatch', crop=(17, 16), batch=2, model__encoder='unet', model__decoder='unet',
                         model__output_stride=8, model__unet_widths=(4, 4, 4))
    state = create_state(config, tiny.CLASSES)
    before = jax.device_get(state.params)
    after, metrics = make_train_step(config, tiny.CLASSES)(state, tiny.batch(config))
    assert np.isfinite(metrics['loss'].total) and int(after.step) == 1
    changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, jax.device_get(after.params))
    assert all(changed['decoder'][f'up{i}']['kernel'] for i in (1, 2, 3))
    assert all(changed['encoder'][f'level{i}']['conv1']['conv']['kernel'] for i in (1, 2, 3, 4))


def test_the_published_setting_of_masksup():
    config = folder.get_config('masksup_unet,split=all')
    validate(config)
    published = {
        'data.resize': (224, 224), 'data.crop': (224, 224), 'data.scale': (1.0, 1.0), 'data.flip': False,
        'data.mean': (0.5, 0.5, 0.5), 'data.std': (0.5, 0.5, 0.5), 'batch.labeled': 8,
        'model.encoder': 'unet', 'model.decoder': 'unet', 'model.output_stride': 16, 'model.pretrained': None,
        'model.unet_widths': (512, 256, 128, 64), 'optimizer.name': 'amsgrad', 'optimizer.b1': 0.9,
        'optimizer.b2': 0.999, 'optimizer.weight_decay': 1e-5, 'optimizer.schedule': 'constant',
        'optimizer.warmup_steps': 0, 'optimizer.clip_norm': None, 'optimizer.head_multiplier': 1.0,
        'method.supervised': 1.0, 'method.masked_supervision': 1.0, 'method.similarity': 1.0,
        'method.similarity_loss': 'mse', 'method.supervised_loss': 'ce', 'method.masks.x_kind': 'freeform',
        'method.masks.freeform': (0.5, 0.6), 'method.masks.loss_on': 'all'}
    assert {key: read(config, key) for key in published} == published
    assert base_learning_rate(config) == 1e-4


@pytest.mark.slow
def test_a_step_of_masksup_with_two_classes_is_the_binary_form():
    """p is the sigmoid of the difference of two logits; binary cross-entropies, squared difference of two maps."""
    config = tiny.config('masksup_unet', crop=(16, 16), batch=2, model__encoder='unet', model__width=4,
                         model__output_stride=8, model__unet_widths=(4, 4, 4), optimizer__name='amsgrad')
    batch = {'labeled': tiny.batch(config)['labeled']}
    label = batch['labeled']['label']
    label[label != 255] %= 2
    state, model = create_state(config, 2), build_model(config, 2)
    image = batch['labeled']['image'] / np.float32(127.5) - 1  # mean and deviation 0.5
    draws = StepRandomness(state.seed, state.step)
    visible = np.asarray(mask_view('x', image, label, batch['labeled']['index'], config, draws).visible)
    assert 0.5 <= 1 - visible.mean() <= 0.6
    look = jax.jit(lambda image: model.apply(state.variables(), image, True, mutable=['batch_stats'])[0].logits)
    full, masked = (1 / (1 + np.exp(-np.float64(z[..., 1] - z[..., 0]))) for z in map(
        np.asarray, (look(image), look(image * visible[..., None]))))
    known = label != 255
    binary = lambda p: -np.log(np.where(label == 1, p, 1 - p))[known].mean()
    expected = {'supervised': binary(full), 'masked_supervision': binary(masked),
                'similarity': ((full - masked) ** 2)[known].mean()}
    after, metrics = make_train_step(config, 2)(state, batch)
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[f'loss/{name}'].total, value, rtol=1e-3)
    np.testing.assert_allclose(metrics['loss'].total, sum(expected.values()), rtol=1e-3)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after)) and int(after.step) == 1


@pytest.mark.parametrize('changes, told', [
    (dict(unet_widths=()), ['unet_widths=()', 'positive integers']),
    (dict(unet_widths=(8, 0)), ['unet_widths=(8, 0)', 'positive integers']),
    (dict(unet_widths=(8, 4)), ['unet_widths=(8, 4)', 'encoder unet', 'output_stride 8', 'valid: 3 widths']),
    (dict(encoder='resnet18', output_stride=32, unet_widths=(8, 4)), ['encoder resnet18', 'valid: 4 widths']),
    (dict(decoder='deeplabv3plus', output_stride=32), ['encoder unet', 'valid: 5 widths']),
    (dict(pretrained='resnet.pth'), ["pretrained='resnet.pth'", 'encoder=unet', 'valid: None']),
    (dict(decoder='segnet'), ["decoder='segnet'", 'deeplabv3plus, dpt, unet'])])
def test_what_does_not_fit_is_refused(changes, told):
    with pytest.raises(InputError) as error:
        models.build(settings(**changes), 3)
    message = str(error.value)
    assert all(text in message for text in told) and 'config.model.' in message and message.count('\n') < 3


def test_widths_of_a_net_that_is_not_asked_for_do_not_matter():
    models.build(settings('resnet18', decoder='deeplabv3plus', unet_widths=(8,)), 3)
