"""The DPT decoder against NumPy in the published order of operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d
from test_resize import by_pixel
from test_vit import doubled, settings, shaken

from s4mim_jax import models
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.models.initial import leaf_shapes


def conv(p, x, stride=1):
    """[h, w, C] with a border of zeros, every channel pair on its own."""
    kernel, around = p['kernel'], p['kernel'].shape[0] // 2
    padded = np.pad(x, ((around, around), (around, around), (0, 0)))
    out = [sum(correlate2d(padded[..., c], kernel[..., c, d], 'valid') for c in range(x.shape[-1]))
           for d in range(kernel.shape[-1])]
    return np.stack(out, -1)[::stride, ::stride] + p.get('bias', 0)


def transposed(p, x):
    k = p['kernel'].shape[0]
    out = np.zeros((k * x.shape[0], k * x.shape[1], p['kernel'].shape[-1]))
    for i in range(k):
        for j in range(k):
            out[i::k, j::k] = x @ p['kernel'][i, j]
    return out + p['bias']


def unit(p, x):
    relu = lambda y: np.maximum(y, 0)
    return x + conv(p['conv2'], relu(conv(p['conv1'], relu(x))))


def decoder(p, maps, aligned):
    """One image: reassemble, reduce, fuse from coarse to fine; resize before the 1x1 convolution."""
    levels = [conv(p[f'project{i + 1}'], x) for i, x in enumerate(maps)]
    levels[0], levels[1] = transposed(p['resize1'], levels[0]), transposed(p['resize2'], levels[1])
    levels[3] = conv(p['resize4'], levels[3], stride=2)
    levels = [conv(p[f'reduce{i + 1}'], x) for i, x in enumerate(levels)]
    x = None
    for i in (3, 2, 1, 0):
        fuse, own = p[f'fuse{i + 1}'], levels[i]
        x = own if x is None else x + unit(fuse['unit1'], own)
        x = unit(fuse['unit2'], x)
        size = levels[i - 1].shape[:2] if i else (2 * own.shape[0], 2 * own.shape[1])
        x = conv(fuse['out'], by_pixel(x[None], size, aligned)[0])
    return conv(p['classifier'], np.maximum(conv(p['head1'], x), 0))


@pytest.mark.parametrize('aligned', [True, False])
def test_equals_the_definition(aligned):
    images = np.random.default_rng(1).normal(size=(1, 42, 28, 3)).astype(np.float32)
    module = models.build(settings(align_corners=aligned), 3)
    variables = shaken(models.init_variables(module, jax.random.key(0)))
    outputs = jax.jit(lambda v: module.apply(v, images))(variables)
    assert outputs.coarse.shape == (1, 3 * 8, 2 * 8, 3)
    expected = decoder(doubled(variables['params']['decoder']),
                       [np.asarray(m[0], np.float64) for m in outputs.features], aligned)
    np.testing.assert_allclose(outputs.coarse[0], expected, rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(outputs.logits, by_pixel(expected[None], (42, 28), aligned), rtol=1e-4, atol=2e-4)


def test_names_of_the_parameters():
    """Importers and checkpoints know them."""
    shapes = leaf_shapes(models.build(settings(), 3))
    named = {p.removeprefix('params/decoder/'): s for p, s in shapes.items() if p.startswith('params/decoder/')}
    expected = {'resize1/kernel': (4, 4, 4, 4), 'resize1/bias': (4,), 'resize2/kernel': (2, 2, 5, 5),
                'resize2/bias': (5,),
                'resize4/kernel': (3, 3, 7, 7), 'resize4/bias': (7,), 'head1/kernel': (3, 3, 4, 4), 'head1/bias': (4,),
                'classifier/kernel': (1, 1, 4, 3), 'classifier/bias': (3,)}
    for i, width in enumerate((4, 5, 6, 7), start=1):
        expected |= {f'project{i}/kernel': (1, 1, 12, width), f'project{i}/bias': (width,),
                     f'reduce{i}/kernel': (3, 3, width, 4), f'fuse{i}/out/kernel': (1, 1, 4, 4),
                     f'fuse{i}/out/bias': (4,)}
        for part in ('unit1', 'unit2')[i == 4:]:
            expected |= {f'fuse{i}/{part}/{c}/{leaf}': shape for c in ('conv1', 'conv2')
                         for leaf, shape in (('kernel', (3, 3, 4, 4)), ('bias', (4,)))}
    assert named == expected


@pytest.mark.parametrize('encoder, stride, maps', [('resnet18', 8, 2), ('resnet18', 16, 3), ('mobilenet_v2', 32, 4),
                                                   ('unet', 16, 3)])
def test_other_encoders_give_their_maps_from_stride_4_on(encoder, stride, maps):
    config = base().model
    config.update(dict(encoder=encoder, decoder='dpt', width=4, output_stride=stride, dpt_features=4,
                       unet_widths=(8, 8, 4, 4)))
    module = models.build(config, 3)
    outputs, variables = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), jnp.zeros((1, 64, 32, 3))))
    assert outputs.coarse.shape == (1, 32, 16, 3) and outputs.logits.shape == (1, 64, 32, 3)
    parts = variables['params']['decoder']
    assert [parts[f'project{i + 1}']['kernel'].shape[-1] for i in range(maps)] == [48, 96, 192, 384][:maps]
    assert f'project{maps + 1}' not in parts and not any(name.startswith('resize') for name in parts)


@pytest.mark.parametrize('changes, says', [
    (dict(dpt_features=0), 'config.model.dpt_features=0 must be at least 1'),
    (dict(dpt_channels=(8, 8)), 'dinov2_vits14 gives 4 maps to fuse'),
    (dict(dpt_channels=(8, 8, 8, 0)), '4 positive integers')])
def test_widths_that_do_not_fit_are_refused(changes, says):
    with pytest.raises(InputError) as error:
        models.build(settings(**changes), 3)
    assert says in str(error.value) and str(error.value).count('\n') < 3
