"""Whole networks in UniMatch's names and ViTs in DINOv2's, with random values; names written out by hand."""

import numpy as np
from torchvision_files import _conv, _norm


def _biased(state, rng, name, out, inner, size):
    _conv(state, rng, name, out, inner, size)
    state[f'{name}.bias'] = rng.normal(0, 0.2, out).astype(np.float32)


def _dense(state, rng, name, out, inner):
    state[f'{name}.weight'] = rng.normal(0, 0.2, (out, inner)).astype(np.float32)
    state[f'{name}.bias'] = rng.normal(0, 0.2, out).astype(np.float32)


def deeplabv3plus(backbone, classes, width=8, low_width=6):
    """backbone: a state dict of `torchvision_files.resnet`, whose `fc` stays behind."""
    rng = np.random.default_rng(5)
    state = {f'backbone.{name}': array for name, array in backbone.items() if not name.startswith('fc.')}
    low, high = (max(array.shape[0] for name, array in backbone.items() if array.ndim and name.startswith(f'layer{i}'))
                 for i in (1, 4))
    for name, inner, size in (('head.b0.0', high, 1), ('head.b1.0', high, 3), ('head.b2.0', high, 3),
                              ('head.b3.0', high, 3), ('head.b4.gap.1', high, 1), ('head.project.0', 5 * width, 1),
                              ('reduce.0', low, 1), ('fuse.0', low_width + width, 3), ('fuse.3', width, 3)):
        out = low_width if name == 'reduce.0' else width
        before, _, index = name.rpartition('.')
        _conv(state, rng, name, out, inner, size)
        _norm(state, rng, f'{before}.{int(index) + 1}', out)
    _biased(state, rng, 'classifier', classes, width, 1)
    return state


def dinov2(width=16, depth=4, registers=0, patch=14):
    """A ViT in the names of the release."""
    rng, state = np.random.default_rng(6), {}
    draw = lambda *shape: rng.normal(0, 0.5, shape).astype(np.float32)
    state |= {'cls_token': draw(1, 1, width), 'pos_embed': draw(1, 1370, width), 'mask_token': draw(1, width)}
    if registers:
        state['register_tokens'] = draw(1, registers, width)
    _biased(state, rng, 'patch_embed.proj', width, 3, patch)
    for i in range(depth):
        block = f'blocks.{i}'
        for norm in ('norm1', 'norm2'):
            state[f'{block}.{norm}.weight'], state[f'{block}.{norm}.bias'] = draw(width) + 1, draw(width)
        _dense(state, rng, f'{block}.attn.qkv', 3 * width, width)
        _dense(state, rng, f'{block}.attn.proj', width, width)
        _dense(state, rng, f'{block}.mlp.fc1', 4 * width, width)
        _dense(state, rng, f'{block}.mlp.fc2', width, 4 * width)
        state[f'{block}.ls1.gamma'], state[f'{block}.ls2.gamma'] = draw(width), draw(width)
    state['norm.weight'], state['norm.bias'] = draw(width) + 1, draw(width)
    return state


def dpt(backbone, classes, features=4, channels=(3, 5, 6, 7)):
    """backbone: a state dict of `dinov2`."""
    rng = np.random.default_rng(7)
    state = {f'backbone.{name}': array for name, array in backbone.items()}
    width = backbone['norm.weight'].shape[0]
    for i, count in enumerate(channels):
        _biased(state, rng, f'head.projects.{i}', count, width, 1)
        _conv(state, rng, f'head.scratch.layer{i + 1}_rn', features, count, 3)
        fusion = f'head.scratch.refinenet{i + 1}'
        _biased(state, rng, f'{fusion}.out_conv', features, features, 1)
        for unit in (1, 2):
            for conv in (1, 2):
                _biased(state, rng, f'{fusion}.resConfUnit{unit}.conv{conv}', features, features, 3)
    _biased(state, rng, 'head.resize_layers.0', channels[0], channels[0], 4)
    _biased(state, rng, 'head.resize_layers.1', channels[1], channels[1], 2)
    _biased(state, rng, 'head.resize_layers.3', channels[3], channels[3], 3)
    _biased(state, rng, 'head.scratch.output_conv.0', features, features, 3)
    _biased(state, rng, 'head.scratch.output_conv.2', classes, features, 1)
    return state
