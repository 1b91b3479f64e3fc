"""ConvNeXt in three spellings: the release's (ConvNeXt's and DINOv3's own), timm's and Hugging Face's."""

import functools
import re

from s4mim_jax.models.convnext import SIZES
from s4mim_jax.pretrained.schemes.scheme import COUNTERS, DENSE, Arrays, Found, Scheme, Source, shape_of, torch_leaf

# {s}: stage from 0, {b}: block from 0.
_OFFICIAL = {
    'stem': 'downsample_layers.0.0', 'stem_norm': 'downsample_layers.0.1', 'shrink/norm': 'downsample_layers.{s}.0',
    'shrink/conv': 'downsample_layers.{s}.1', 'block': 'stages.{s}.{b}', 'depthwise': 'dwconv', 'norm': 'norm',
    'fc1': 'pwconv1', 'fc2': 'pwconv2', 'last': 'norm'}
_TIMM = {
    **_OFFICIAL, 'stem': 'stem.0', 'stem_norm': 'stem.1', 'shrink/norm': 'stages.{s}.downsample.0',
    'shrink/conv': 'stages.{s}.downsample.1', 'block': 'stages.{s}.blocks.{b}', 'depthwise': 'conv_dw',
    'fc1': 'mlp.fc1', 'fc2': 'mlp.fc2', 'last': 'head.norm'}
_HUGGING_FACE = {
    **_OFFICIAL, 'stem': 'stages.0.downsample_layers.0', 'stem_norm': 'stages.0.downsample_layers.1',
    'shrink/norm': 'stages.{s}.downsample_layers.0', 'shrink/conv': 'stages.{s}.downsample_layers.1',
    'block': 'stages.{s}.layers.{b}', 'depthwise': 'depthwise_conv', 'norm': 'layer_norm', 'fc1': 'pointwise_conv1',
    'fc2': 'pointwise_conv2', 'last': 'layer_norm'}


def _recognise(names: dict, arrays: Arrays) -> Found | None:
    stem = shape_of(arrays, names['stem'] + '.weight')
    block = re.compile('^' + re.escape(names['block']).replace(r'\{s\}', r'(\d+)').replace(r'\{b\}', r'(\d+)')
                       + rf'\.{names["depthwise"]}\.weight$')
    stages: dict[int, int] = {}
    for name in arrays:
        if match := block.match(name):
            stages[int(match[1])] = max(stages.get(int(match[1]), 0), int(match[2]) + 1)
    if not stem or not stages:
        return None
    counts = tuple(stages.get(stage, 0) for stage in range(max(stages) + 1))
    scaled = f'{names["block"].format(s=0, b=0)}.gamma' in arrays
    known = [name for name, (blocks, _) in SIZES.items() if blocks == counts]
    same = [name for name in known if SIZES[name][1] == stem[0]]
    if not known or not scaled:
        text = '-'.join(map(str, counts)) + ' blocks' + ('' if scaled else ' without LayerScale')
        return Found(f'a ConvNeXt of {text}', details=names)
    settings = {'width': 64 if same else stem[0]}  # 64 stands for the published width
    return Found((same or known)[0], settings, details=names)


def source(path: str, found: Found) -> Source:
    """Our leaf -> its name."""
    names, (module, _, inner) = found.details, path.partition('/')
    if module in ('stem', 'stem_norm'):
        return torch_leaf(names[module], inner)
    if module == 'norm':
        return torch_leaf(names['last'], inner)
    if shrink := re.fullmatch(r'shrink(\d+)', module):
        part, _, leaf = inner.partition('/')
        return torch_leaf(names[f'shrink/{part}'].format(s=int(shrink[1]) - 1), leaf)
    stage, block = re.fullmatch(r'stage(\d+)_block(\d+)', module).groups()
    prefix = names['block'].format(s=int(stage) - 1, b=int(block) - 1)
    part, _, leaf = inner.partition('/')
    if part == 'scale':
        return Source((f'{prefix}.gamma',))
    return torch_leaf(f'{prefix}.{names[part]}', leaf, DENSE if part in ('fc1', 'fc2') else None)


# The release keeps the last norm twice: as `norm` and as the last of `norms`.
_UNUSED = re.compile(COUNTERS + r'|^norms\.|^(head|classifier|pooler)\.')
OFFICIAL = Scheme('convnext', 'facebookresearch/dinov3 `dinov3_convnext_*`, facebookresearch/ConvNeXt',
                  '`downsample_layers.0.0.weight`, `stages.0.0.dwconv.weight`', 'encoder',
                  functools.partial(_recognise, _OFFICIAL), source, _UNUSED)
TIMM = Scheme('convnext (timm)', 'timm `convnext_*`', '`stem.0.weight`, `stages.0.blocks.0.conv_dw.weight`', 'encoder',
              functools.partial(_recognise, _TIMM), source, _UNUSED)
HUGGING_FACE = Scheme('convnext (Hugging Face)', 'transformers `DINOv3ConvNextModel`',
                      '`stages.0.layers.0.depthwise_conv.weight`', 'encoder',
                      functools.partial(_recognise, _HUGGING_FACE), source, _UNUSED)
