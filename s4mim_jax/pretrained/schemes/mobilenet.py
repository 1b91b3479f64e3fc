"""MobileNetV2 in torchvision's and in timm's names."""

import re

from s4mim_jax.models.mobilenet import STAGES
from s4mim_jax.pretrained.schemes.scheme import COUNTERS, Arrays, Found, Scheme, Source, torch_leaf

# Number of our block (from 1) -> timm's (stage, block), both from 0.
PLACES = [(stage, block) for stage, (_, _, count, _) in enumerate(STAGES) for block in range(count)]


def _recognise_torchvision(arrays: Arrays) -> Found | None:
    if 'features.1.conv.0.0.weight' in arrays and any(n.startswith('features.17.') for n in arrays):
        return Found('mobilenet_v2')
    return None


def _source_torchvision(path: str, found: Found) -> Source:
    module, *inner, leaf = path.split('/')
    kind = inner[-1]  # conv or norm
    if module == 'stem':
        return torch_leaf('features.0.0' if kind == 'conv' else 'features.0.1', leaf)
    number = int(module.removeprefix('block'))
    index = _parts(number).index(inner[0])
    if inner[0] == 'project':  # a bare convolution and norm, not a sequence of their own
        return torch_leaf(f'features.{number}.conv.{index if kind == "conv" else index + 1}', leaf)
    return torch_leaf(f'features.{number}.conv.{index}.{0 if kind == "conv" else 1}', leaf)


def _recognise_timm(arrays: Arrays) -> Found | None:
    if 'conv_stem.weight' not in arrays or 'blocks.0.0.conv_dw.weight' not in arrays:
        return None
    counts = []
    while blocks := {n.split('.')[2] for n in arrays if n.startswith(f'blocks.{len(counts)}.')}:
        counts.append(len(blocks))
    if counts == [count for _, _, count, _ in STAGES] and not any('.se.' in n for n in arrays):
        return Found('mobilenet_v2')
    return Found(f'a MobileNet or EfficientNet of {"-".join(map(str, counts))} blocks')


def _source_timm(path: str, found: Found) -> Source:
    module, *inner, leaf = path.split('/')
    kind = inner[-1]
    if module == 'stem':
        return torch_leaf('conv_stem' if kind == 'conv' else 'bn1', leaf)
    number = int(module.removeprefix('block'))
    stage, block = PLACES[number - 1]
    parts = _parts(number)
    # The first block does not expand: its projection is conv_pw, elsewhere conv_pw expands and conv_pwl projects.
    names = {'expand': 'conv_pw', 'depthwise': 'conv_dw', 'project': 'conv_pwl' if 'expand' in parts else 'conv_pw'}
    layer = names[inner[0]] if kind == 'conv' else f'bn{parts.index(inner[0]) + 1}'
    return torch_leaf(f'blocks.{stage}.{block}.{layer}', leaf)


def _parts(number):
    return ('depthwise', 'project') if number == 1 else ('expand', 'depthwise', 'project')


# The 1x1 convolution to 1280 channels in front of the classifier (features.18, conv_head) is not built.
TORCHVISION = Scheme('mobilenet_v2', 'torchvision', '`features.1.conv.0.0.weight`', 'encoder', _recognise_torchvision,
                     _source_torchvision, re.compile(COUNTERS + r'|^classifier\.|^features\.18\.'))
TIMM = Scheme('mobilenet_v2 (timm)', 'timm `mobilenetv2_100`', '`conv_stem.weight`, `blocks.0.0.conv_dw.weight`',
              'encoder', _recognise_timm, _source_timm, re.compile(COUNTERS + r'|^(classifier|conv_head|bn2)\.'))
