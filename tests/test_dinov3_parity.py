"""DINOv3's networks compute what PyTorch modules of the same public key names compute, to 1e-4."""

import numpy as np
import pytest

torch = pytest.importorskip('torch')

import jax
import jax.numpy as jnp
import torch_reference_dinov3 as dinov3
from test_import_parity import assert_close, images, ours, saved, settings, theirs
from torch_reference_resnet import randomise

from s4mim_jax import models
from s4mim_jax.pretrained import import_variables

TINY = dict(vit_depth=4, vit_width=32, vit_heads=2, decoder='linear')


def drawn(network):
    """Random weights; those whose size decides whether a fault would show are made large."""
    randomise(network)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith(('gamma', 'gamma_1', 'gamma_2', 'lambda1')):
                tensor.uniform_(0.3, 0.9)
            if name.endswith(('bias', 'q_bias', 'v_bias')):
                tensor.normal_(0, 0.3)
    return network


@pytest.mark.parametrize('kind, gated', [
    (dinov3.Release, False), (dinov3.Release, True), (dinov3.Timm, True), (dinov3.TimmWithoutBias, False),
    (dinov3.HuggingFace, False), (dinov3.HuggingFace, True)])
def test_vision_transformers(tmp_path, kind, gated):
    network, x = drawn(kind(gated=gated)), images(48, 80)
    config = settings('dinov3_vits16plus' if gated else 'dinov3_vits16', **TINY)
    features = ours(saved(tmp_path, network), config, x).features
    for actual, expected in zip(features, theirs(network, x), strict=True):
        assert_close(actual, expected)


@pytest.mark.parametrize('kind', [dinov3.ConvNeXt, dinov3.TimmConvNeXt, dinov3.HuggingFaceConvNeXt])
def test_convnext(tmp_path, kind):
    network, x = drawn(kind(width=4)), images(64, 96)
    config = settings('dinov3_convnext_tiny', width=4, output_stride=32, decoder='dpt', dpt_features=4,
                      dpt_channels=(4, 4, 4, 4))
    features = ours(saved(tmp_path, network), config, x).features
    for actual, expected in zip(features, theirs(network, x), strict=True):
        assert_close(actual, expected)


def test_other_output_strides_hold_the_strided_features(tmp_path):
    """At every other pixel, away from the border, where a map that is not shrunk has more to see."""
    network, x = drawn(dinov3.ConvNeXt(width=4)), images(64, 64)
    source = saved(tmp_path, network)
    maps = {stride: np.asarray(ours(source, settings('dinov3_convnext_tiny', width=4, output_stride=stride,
                                                     decoder='linear'), x).features[1]) for stride in (8, 16, 32)}
    assert maps[16].shape[1] == 4 and maps[8].shape[1] == 8
    np.testing.assert_allclose(maps[16][:, ::2, ::2], maps[32], atol=1e-4)
    np.testing.assert_allclose(maps[8][:, ::4, ::4], maps[32], atol=1e-4)


def test_a_bias_of_keys_has_no_part(tmp_path):
    """The release masks it; whatever stands there is left out."""
    network = drawn(dinov3.Release())
    source = saved(tmp_path, network)
    config = settings('dinov3_vits16', **TINY)
    first = import_variables(str(source), config, 5)['params']['encoder']['block1']['attention']
    with torch.no_grad():
        network.blocks[0].attn.qkv.bias[32:64] += 7
    again = import_variables(str(saved(tmp_path, network)), config, 5)['params']['encoder']['block1']['attention']
    np.testing.assert_array_equal(first['query_value_bias'], again['query_value_bias'])
    assert first['query_value_bias'].shape == (64,) and np.abs(first['query_value_bias']).min() > 0


@pytest.mark.parametrize('encoder', ['dinov3_vits16', 'dinov3_convnext_tiny'])
def test_maps_of_any_size_and_bfloat16(encoder):
    changes = {'_vit': TINY}.get(encoder[6:10], dict(decoder='linear', width=8, output_stride=32))
    module = models.build(settings(encoder, **changes), 5, dtype=jnp.bfloat16)
    size = (32, 48) if '_vit' in encoder else (50, 37)
    outputs, variables = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), jnp.zeros((1, *size, 3))))
    assert outputs.logits.shape == (1, *size, 5) and outputs.logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    assert outputs.features[-1].dtype == jnp.bfloat16
