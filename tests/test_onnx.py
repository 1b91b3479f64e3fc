"""ONNX files compute what JAX computes, for any number of images, and say what they are."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_run

onnxruntime = pytest.importorskip('onnxruntime')

import s4mim_jax
from s4mim_jax import models
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.export import export_run
from s4mim_jax.models.initial import leaf_shapes
from s4mim_jax.onnx_graph import to_onnx

CLASSES, SIZE = 5, (42, 56)
VIT = dict(vit_depth=4, vit_width=16, vit_heads=2)


def runs(function, shape, **facts):
    """The function as onnxruntime runs it."""
    session = onnxruntime.InferenceSession(to_onnx(function, shape, facts).SerializeToString(),
                                           providers=['CPUExecutionProvider'])
    return lambda images: session.run(None, {'images': images})[0]


def pictures(count, shape=(*SIZE, 3)):
    return np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)


def network(encoder, decoder, **changes):
    """(uint8 images -> logits) with random weights, none of which is zero; convolutions whole, as they are exported."""
    config = base().model
    config.update(dict(encoder=encoder, decoder=decoder, decoder_width=8, low_level_width=4, **changes))
    module, draw = models.build(config, CLASSES, platform='tpu'), np.random.default_rng(1)
    nested = {}
    for path, shape in leaf_shapes(module).items():
        *parents, name = path.split('/')
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
        wide = np.sqrt(1 / max(np.prod(shape[:-1]), 1)) if name == 'kernel' else 0.2
        node[name] = (draw.normal(size=shape) * wide + (name in ('scale', 'var'))).astype(np.float32)
        if name == 'var':
            node[name] = np.abs(node[name]) + 0.1
    return lambda images: module.apply(nested, (images.astype(jnp.float32) - 120.0) / 60.0).logits


@pytest.mark.parametrize('encoder, decoder, changes', [
    ('resnet18', 'deeplabv3plus', dict(width=8, padding='same')),
    ('unet', 'unet', dict(unet_widths=(8, 8, 8, 8), norm='group', align_corners=True)),
    ('dinov2_vits14', 'dpt', dict(dpt_features=4, dpt_channels=(4, 4, 4, 4), registers=4, remat=True, **VIT)),
    pytest.param('mobilenet_v2', 'deeplabv3plus', {}, marks=pytest.mark.slow),
    pytest.param('resnet50', 'dpt', dict(width=8, stem='deep', output_stride=8), marks=pytest.mark.slow),
    pytest.param('dinov2_vitg14', 'unet', dict(unet_widths=(8, 8, 8, 8), **VIT), marks=pytest.mark.slow),
])
def test_a_network_computes_the_same_in_onnxruntime(encoder, decoder, changes):
    see = network(encoder, decoder, **changes)
    theirs, ours = runs(see, (*SIZE, 3)), jax.jit(see)
    expected = np.asarray(ours(pictures(3)))
    assert expected.std() > 1e-3
    np.testing.assert_allclose(theirs(pictures(3)), expected, atol=2e-5 * max(np.abs(expected).max(), 1))
    np.testing.assert_allclose(theirs(pictures(3)[:1]), theirs(pictures(3))[:1], atol=1e-5)  # any number


@pytest.mark.parametrize('function', [
    lambda x: jnp.where(x[:, ::2, 1:] > 100, x[:, ::2, 1:] - 100.0, 0.0),
    lambda x: jnp.pad(x[..., 1].astype(jnp.float32), ((0, 0), (2, 1), (0, 3)), constant_values=7.0),
    lambda x: jax.nn.softmax(x.astype(jnp.float32)[:, ::-1, [2, 0, 1]] / 50.0),
    lambda x: jnp.concatenate([jnp.broadcast_to(jnp.arange(3.0), (x.shape[0], 4, 4, 3)), x / 2.0], 1),
    lambda x: jax.nn.gelu(x / 100.0 - 1, approximate=False) ** 3 + jnp.clip(x.astype(jnp.float32), 20, 90),
    lambda x: jnp.einsum('bhwc,bHwd->bhHcd', x / 255.0, x / 255.0),
    lambda x: jax.lax.rsqrt(jnp.square(x / 9.0).mean((1, 2)) + 1) * jnp.split(x / 3.0, 2, axis=1)[1].max((1, 2)),
])
def test_operations(function):
    images = pictures(2, (4, 4, 3))
    np.testing.assert_allclose(runs(function, (4, 4, 3))(images), function(jnp.asarray(images)), atol=1e-4, rtol=1e-5)


def test_an_unknown_operation_is_named():
    with pytest.raises(InputError, match='operation (cumsum|sort) cannot be written as ONNX\nuse --format=jax'):
        to_onnx(lambda x: jnp.sort(x, axis=1), (4, 4, 3), {})


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnx', None)
    with pytest.raises(InputError, match='pip install "onnx'):
        to_onnx(lambda x: x / 2.0, (4, 4, 3), {})


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    run = tiny_run.shared(tmp_path_factory)[0]
    folder = tmp_path_factory.mktemp('onnx') / 'model'
    return run, folder, export_run(run, folder, format='onnx')


def test_an_exported_run_predicts_what_the_run_predicts(exported):
    run, folder, model = exported
    entry, = model['networks']
    assert entry == {'platform': 'onnx', 'size': [32, 48], 'file': 'networks/32x48.onnx'}
    assert not (folder / 'weights.safetensors').exists()
    images = [pictures(1, (40, 48, 3))[0], pictures(1, (33, 50, 3))[0]]
    ours = s4mim_jax.load(run).predict(images, True)
    for source in (folder, folder / entry['file']):  # the folder, and the file alone
        theirs = s4mim_jax.load(source)
        assert theirs.classes == tiny_run.CLASSES and theirs.step == 3
        for (ids, top), (other, probability) in zip(ours, theirs.predict(images, True)):
            assert (ids == other).mean() > 0.999
            np.testing.assert_allclose(top, probability, atol=1e-4)


def test_the_file_says_what_it_is(exported):
    _, folder, model = exported
    session = onnxruntime.InferenceSession(str(folder / 'networks' / '32x48.onnx'), providers=['CPUExecutionProvider'])
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts['classes']) == list(tiny_run.CLASSES) and facts['kind'] == 'logits'
    np.testing.assert_allclose(json.loads(facts['mean']), (0.485, 0.456, 0.406))
    assert 'resized to 32 x 48' in facts['size_rule'] and json.loads(facts['s4mim_jax'])['step'] == model['step']
    images, = session.get_inputs()
    assert images.type == 'tensor(uint8)' and images.shape == ['b', 32, 48, 3]


def test_windows_of_an_image_of_any_size(exported, tmp_path):
    overrides = [('eval.mode', 'sliding'), ('eval.window', '(24, 24)'), ('data.resize', 'None')]
    export_run(exported[0], tmp_path / 'model', overrides=overrides, format='onnx')
    image = pictures(1, (40, 61, 3))[0]
    expected = s4mim_jax.load(exported[0], overrides=overrides)(image)
    assert (s4mim_jax.load(tmp_path / 'model')(image) == expected).mean() > 0.999


@pytest.mark.parametrize('changes, message', [
    ({'format': 'tflite'}, '--format=tflite: unknown\nvalid: jax, onnx'),
    ({'format': 'onnx', 'platforms': ('cpu',)}, '--platforms=cpu: an ONNX file is for every platform')])
def test_wrong_requests(exported, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        export_run(exported[0], tmp_path / 'model', **changes)


def test_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match='no such file'):
        s4mim_jax.load(tmp_path / 'model.onnx')
    (tmp_path / 'model.onnx').write_bytes(b'no graph')
    with pytest.raises(InputError, match='no network that onnxruntime reads'):
        s4mim_jax.load(tmp_path / 'model.onnx')
