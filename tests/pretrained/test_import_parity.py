"""A converted network computes what the source computes: PyTorch modules with the public key names, random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip('torch')

import torch_reference_dinov2 as dinov2
import torch_reference_mobilenet as mobilenet
import torch_reference_resnet as resnet
from torch_reference_dpt import DPT

from s4mim_jax import models
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.import_weights import convert
from s4mim_jax.pretrained import import_variables

CLASSES = 5
TINY_VIT = dict(vit_depth=4, vit_width=32, vit_heads=2)
TINY_DPT = dict(decoder='dpt', dpt_features=8, dpt_channels=(4, 6, 8, 10), **TINY_VIT)


def settings(encoder, **changes):
    config = base().model
    config.update(dict(encoder=encoder, decoder_width=12, low_level_width=6, align_corners=True, **changes))
    return config


def images(height, width):
    return np.random.default_rng(3).normal(size=(2, height, width, 3)).astype(np.float32)


def theirs(network, x):
    with torch.no_grad():
        outputs = network(torch.from_numpy(x).permute(0, 3, 1, 2))
    last = lambda t: t.permute(0, 2, 3, 1).numpy()
    return tuple(map(last, outputs)) if isinstance(outputs, tuple) else last(outputs)


def ours(source, config, x):
    module = models.build(config, CLASSES)
    variables = import_variables(str(source), config, CLASSES)
    return jax.jit(lambda v, x: module.apply(v, x, train=False))(variables, jnp.asarray(x))


def assert_close(actual, expected):
    """To 1e-4 of values that are of the size of one, and not all alike."""
    expected = np.asarray(expected)
    assert 0.05 < expected.std() < 20, expected.std()
    np.testing.assert_allclose(actual, expected, atol=1e-4 * max(expected.std(), 1), rtol=0)


def saved(tmp_path, network, change=lambda state: state):
    torch.save(change(network.state_dict()), tmp_path / 'source.pth')
    return tmp_path / 'source.pth'


@pytest.mark.parametrize('name, deep, stride', [
    ('resnet18', False, 32), ('resnet18', False, 8), ('resnet50', True, 16)])
def test_resnet(tmp_path, name, deep, stride):
    network = resnet.randomise(resnet.ResNet(name, deep=deep, output_stride=stride))
    config, x = settings(name, width=8, stem='deep' if deep else '7x7', output_stride=stride), images(65, 49)
    features = ours(saved(tmp_path, network), config, x).features
    for actual, expected in zip(features, theirs(network, x), strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize('kind', [mobilenet.Torchvision, mobilenet.Timm])
def test_mobilenet(tmp_path, kind):
    network, x = resnet.randomise(kind(output_stride=16)), images(49, 65)
    features = ours(saved(tmp_path, network), settings('mobilenet_v2'), x).features
    for actual, expected in zip(features, theirs(network, x), strict=True):
        assert_close(actual, expected)


def test_another_epsilon_is_taken_into_the_variances(tmp_path):
    network, x = resnet.randomise(mobilenet.Torchvision(output_stride=16, epsilon=1e-3)), images(33, 33)
    with torch.no_grad():  # variances so small that the epsilon matters
        for name, tensor in network.state_dict().items():
            if name.endswith('running_var'):
                tensor.mul_(0.01)
            elif name.endswith('.weight') and tensor.ndim == 1:
                tensor.mul_(0.1)
    told = []
    convert(str(saved(tmp_path, network)), None, str(tmp_path / 'o.npz'), epsilon=1e-3, say=told.append)
    assert any('epsilon 0.001 made 1e-05' in line for line in told)
    expected = theirs(network, x)
    assert_close(ours(tmp_path / 'o.npz', settings('mobilenet_v2'), x).features[1], expected[1])
    unstated = ours(tmp_path / 'source.pth', settings('mobilenet_v2'), x).features[1]
    assert np.abs(unstated - expected[1]).max() > 0.01


@pytest.mark.parametrize('name, deep, stride', [
    ('resnet50', True, 16), pytest.param('resnet18', False, 8, marks=pytest.mark.slow)])
def test_whole_deeplabv3plus(tmp_path, name, deep, stride):
    """A training checkpoint as UniMatch saves it: prefix, two networks, optimiser, a NumPy score."""
    student, teacher = (resnet.randomise(resnet.DeepLabV3Plus(resnet.ResNet(name, deep=deep, output_stride=stride),
                                                              CLASSES), seed) for seed in (1, 2))
    prefixed = lambda network: {f'module.{key}': value for key, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(student.parameters())
    sum(p.sum() for p in student.parameters()).backward()
    optimizer.step()  # so that it has arrays of its own
    torch.save({'model': prefixed(student), 'model_ema': prefixed(teacher), 'optimizer': optimizer.state_dict(),
                'epoch': 3, 'previous_best': np.float64(71.2)}, tmp_path / 'best.pth')
    config, x = settings(name, width=8, stem='deep' if deep else '7x7', output_stride=stride), images(65, 49)
    assert_close(ours(tmp_path / 'best.pth', config, x).logits, theirs(teacher, x))
    convert(str(tmp_path / 'best.pth'), name, str(tmp_path / 'student.safetensors'), entry='model')
    assert_close(ours(tmp_path / 'student.safetensors', config, x).logits, theirs(student, x))


@pytest.mark.parametrize('kind, changes, positions', [
    (dinov2.Release, dict(), None), (dinov2.Release, dict(registers=4, gated=True, chunk=2), None),
    pytest.param(dinov2.Timm, dict(), 'antialias', marks=pytest.mark.slow),
    (dinov2.Timm, dict(registers=4, gated=True), None),
    (dinov2.HuggingFace, dict(gated=True), 'size'), (dinov2.HuggingFace, dict(registers=4), None)])
def test_dinov2(tmp_path, kind, changes, positions):
    network, x = resnet.randomise(kind(**changes)), images(42, 56)
    config = settings('dinov2_vitg14' if changes.get('gated') else 'dinov2_vits14', positions=positions, **TINY_DPT,
                      registers=changes.get('registers', 0))
    features = ours(saved(tmp_path, network), config, x).features
    for actual, expected in zip(features, theirs(network, x), strict=True):
        assert_close(actual, expected)


def test_whole_dpt(tmp_path):
    network, x = resnet.randomise(DPT(dinov2.Release(), CLASSES)), images(70, 56)
    prefixed = {f'module.{key}': value for key, value in network.state_dict().items()}
    torch.save({'model': prefixed, 'epoch': 1}, tmp_path / 'latest.pth')
    config = settings('dinov2_vits14', **TINY_DPT)
    assert_close(ours(tmp_path / 'latest.pth', config, x).logits, theirs(network, x))


def test_positions_of_another_grid_are_resized_as_torch_does(tmp_path):
    network = resnet.randomise(dinov2.Release(grid=16))
    told = []
    config = settings('dinov2_vits14', **TINY_VIT)
    variables = import_variables(str(saved(tmp_path, network)), config, CLASSES, say=told.append)
    assert any('16x16 patches resized bicubically to 37x37' in line for line in told)
    table = np.asarray(variables['params']['encoder']['position_embedding'])
    given = network.pos_embed.detach()
    np.testing.assert_array_equal(table[:, :1], given[:, :1].numpy())
    np.testing.assert_allclose(table[:, 1:], dinov2.resized(given[:, 1:], (37, 37), 'size').numpy(), atol=1e-5)
    state = network.state_dict()
    state['pos_embed'] = state['pos_embed'][:, :1 + 15 * 16]  # no square
    torch.save(state, tmp_path / 'source.pth')
    with pytest.raises(InputError, match=r'pos_embed \[1, 241, 32\], expected \[1, 1370, 32\]'):
        import_variables(str(tmp_path / 'source.pth'), config, CLASSES)
