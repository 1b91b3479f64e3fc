"""torchvision's names for the leaves of our encoders, and the other way: what a file looks like.

Leaves are named by their path, as 'params/encoder/block3/expand/conv/kernel'.
"""

import re

import numpy as np

from s4mim_jax.models.resnet import RESNETS

LEAVES = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias', 'mean': 'running_mean', 'var': 'running_var'}
# In every file of the trade, and of no use to a segmentation encoder: the classifier, MobileNetV2's
# 1x1 convolution to 1280 channels in front of it, and PyTorch's step counters.
IGNORABLE = re.compile(r'(^|\.)num_batches_tracked$|^(fc|classifier|head)\.|^features\.18\.')


def torchvision_name(path: str, stem: str) -> str:
    """Our leaf -> the name of the same array in a torchvision state dict.

    With stem 'deep' the three convolutions are the sequence conv1.0 .. conv1.6 and bn1, as the
    repositories with that stem (and timm's -d models) save them.
    """
    _, _, module, *inner, leaf = path.split('/')
    kind = inner[-1]  # conv or norm
    if module == 'stem':
        layer = 'features.0.0' if kind == 'conv' else 'features.0.1'
    elif module.startswith('block'):
        layer = _inverted_residual(int(module.removeprefix('block')), inner[0], kind)
    elif module.startswith('stem'):
        layer = _resnet_stem(int(module.removeprefix('stem')), kind, stem)
    else:
        stage, block = re.fullmatch(r'stage(\d+)_block(\d+)', module).groups()
        layer = f'layer{stage}.{int(block) - 1}.'
        if inner[0] == 'shortcut':
            layer += 'downsample.0' if kind == 'conv' else 'downsample.1'
        else:
            layer += inner[0] if kind == 'conv' else inner[0].replace('conv', 'bn')
    return f'{layer}.{LEAVES[leaf]}'


def _inverted_residual(number: int, part: str, kind: str) -> str:
    # The first block does not expand, so everything in it moves up by one.
    parts = ('depthwise', 'project') if number == 1 else ('expand', 'depthwise', 'project')
    index = parts.index(part)
    if part == 'project':  # a bare convolution and norm, not a sequence of their own
        return f'features.{number}.conv.{index if kind == "conv" else index + 1}'
    return f'features.{number}.conv.{index}.{0 if kind == "conv" else 1}'


def _resnet_stem(number: int, kind: str, stem: str) -> str:
    if stem == '7x7' or (kind == 'norm' and number == 3):
        return 'conv1' if kind == 'conv' else 'bn1'
    return f'conv1.{3 * (number - 1) + (kind == "norm")}'


def to_our_layout(array: np.ndarray) -> np.ndarray:
    """OIHW -> HWIO for kernels (depthwise ones too: [C, 1, k, k] -> [k, k, 1, C]); vectors stay."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def looks_like(names) -> tuple[str | None, str | None]:
    """(encoder, stem) that a state dict with these names belongs to; None where unknown.

    The encoder may be one that this project does not build ('a vision transformer').
    """
    names = set(names)
    if 'features.1.conv.0.0.weight' in names and any(n.startswith('features.17.') for n in names):
        return 'mobilenet_v2', None
    blocks = tuple(len({n.split('.')[1] for n in names if n.startswith(f'layer{stage}.')})
                   for stage in (1, 2, 3, 4))
    if all(blocks):
        bottleneck = 'layer1.0.conv3.weight' in names
        known = [name for name, shape in RESNETS.items() if shape == (blocks, bottleneck)]
        kind = known[0] if known else f'a ResNet of {"-".join(map(str, blocks))} blocks'
        return kind, 'deep' if 'conv1.0.weight' in names else '7x7'
    if any(re.search(r'(^|\.)blocks\.0\.attn\.', n) for n in names):
        return 'a vision transformer', None
    return None, None
