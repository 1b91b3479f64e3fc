"""DINOv2's vision transformers in three spellings: the release's own, timm's and Hugging Face's.

timm's networks with registers give the class token no position: it is added to the token itself. SwiGLU is
w12, w3 in the release, fc1, fc2 in timm and weights_in, weights_out in Hugging Face, with the same order of
the two halves.
"""

import functools
import math
import re

import numpy as np

from s4mim_jax.config.encoder_sizes import PATCH
from s4mim_jax.models.resize import cubic_matrix
from s4mim_jax.models.vit import VITS
from s4mim_jax.pretrained.schemes.scheme import (
    COUNTERS,
    DENSE,
    LEAVES,
    PLAIN,
    Arrays,
    Found,
    Layout,
    Scheme,
    Source,
    shape_of,
    torch_leaf,
)

# Our part of a network or of a block -> its names.
_OFFICIAL = {
    'patch_embed': 'patch_embed.proj', 'class_token': 'cls_token', 'position_embedding': 'pos_embed',
    'register_tokens': 'register_tokens', 'norm': 'norm', 'norm1': 'norm1', 'attention/qkv': ('attn.qkv',),
    'attention/out': 'attn.proj', 'scale1': 'ls1.gamma', 'norm2': 'norm2', 'mlp/fc1': 'mlp.fc1', 'mlp/fc2': 'mlp.fc2',
    'mlp/w12': 'mlp.w12', 'mlp/w3': 'mlp.w3', 'scale2': 'ls2.gamma'}
_TIMM = {**_OFFICIAL, 'register_tokens': 'reg_token', 'mlp/w12': 'mlp.fc1', 'mlp/w3': 'mlp.fc2'}
_HUGGING_FACE = {
    **_OFFICIAL, 'patch_embed': 'embeddings.patch_embeddings.projection', 'class_token': 'embeddings.cls_token',
    'position_embedding': 'embeddings.position_embeddings', 'register_tokens': 'embeddings.register_tokens',
    'norm': 'layernorm', 'attention/qkv': tuple(f'attention.attention.{x}' for x in ('query', 'key', 'value')),
    'attention/out': 'attention.output.dense', 'scale1': 'layer_scale1.lambda1', 'scale2': 'layer_scale2.lambda1',
    'mlp/w12': 'mlp.weights_in', 'mlp/w3': 'mlp.weights_out'}
# `blocks.CHUNK.N.` in training files: the second number counts through.
_BLOCK = re.compile(r'^(?:encoder\.layer|blocks(?:\.\d+(?=\.\d+\.))?)\.(\d+)(?=\.)')


def _positions(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[1, n, D] -> shape: a zero for a class without position, and another square grid resized bicubically."""
    if array.ndim != 3 or array.shape[-1] != shape[-1]:
        return array
    if math.isqrt(array.shape[1]) ** 2 == array.shape[1]:
        array = np.concatenate([np.zeros_like(array[:, :1]), array], 1)
    side, target = (math.isqrt(n - 1) for n in (array.shape[1], shape[1]))
    if side == target or side ** 2 != array.shape[1] - 1:
        return array
    matrix = np.asarray(cubic_matrix(side, target, scale=target / side))
    grid = np.einsum('yi,xj,bijd->byxd', matrix, matrix, array[:, 1:].reshape(1, side, side, -1), optimize=True)
    return np.concatenate([array[:, :1], grid.reshape(1, target ** 2, -1)], 1)


def _resized(array, shape):
    side, target = (math.isqrt(n) for n in (array.shape[1], shape[1]))  # with or without the class
    return '' if side == target else (f'position embedding of {side}x{side} patches resized bicubically to '
                                      f'{target}x{target}')


POSITIONS = Layout(_positions, lambda shape: shape, _resized)


def _recognise(names: dict, arrays: Arrays) -> Found | None:
    blocks = {int(m[1]): m[0] for n in arrays if (m := _BLOCK.match(n))}
    first = blocks.get(0, '')
    qkv = shape_of(arrays, f'{first}.{names["attention/qkv"][0]}.weight')
    if not qkv:
        return None
    embed, depth, width = shape_of(arrays, names['patch_embed'] + '.weight'), max(blocks) + 1, qkv[-1]
    wide, narrow = (shape_of(arrays, f'{first}.{names[part]}.weight') for part in ('mlp/w12', 'mlp/w3'))
    gated = bool(wide and narrow) and wide[0] == 2 * narrow[1]
    known = [name for name, (*sizes, _, glu, _) in VITS.items() if sizes == [depth, width] and glu == gated]
    # Sizes of one's own are those of a ViT with other numbers.
    network = known[0] if known else 'dinov2_vitg14' if gated else 'dinov2_vits14'
    registers = shape_of(arrays, names['register_tokens'])
    settings = {'vit_depth': None if known else depth, 'vit_width': None if known else width,
                'registers': registers[1] if registers else 0}
    refusal = ''
    if not embed or f'{first}.{names["scale1"]}' not in arrays:
        network = 'a vision transformer' + (' without LayerScale' if embed else '')
    elif embed[-2:] != (PATCH, PATCH):
        refusal = f'its patches have {embed[-2]} x {embed[-1]} pixels, here {PATCH} x {PATCH}'
    habits = {}
    if names is not _OFFICIAL:
        habits['positions'] = 'size' if names is _HUGGING_FACE and not registers else 'antialias'
    return Found(network, settings, habits, refusal=refusal, details=(names, blocks))


def _recognise_blocks(official: bool, arrays: Arrays) -> Found | None:
    """`blocks.N`: the release's unless something tells timm's. Without registers and SwiGLU both are equal."""
    timm = 'reg_token' in arrays or ('mask_token' not in arrays and not any('.w12.' in n for n in arrays)
                                     and 'register_tokens' not in arrays)
    return None if timm == official else _recognise(_OFFICIAL if official else _TIMM, arrays)


def source(path: str, found: Found) -> Source:
    """Our leaf -> its names."""
    names, blocks = found.details
    module, _, inner = path.partition('/')
    number = re.fullmatch(r'block(\d+)', module)
    if not number and not inner:  # tokens and positions are arrays themselves
        return Source((names[module],), POSITIONS if module == 'position_embedding' else PLAIN)
    if not number:
        return torch_leaf(names[module], inner)
    prefix = blocks.get(int(number[1]) - 1) or re.sub(r'\d+$', str(int(number[1]) - 1), blocks[0])
    if inner in names:  # the scales
        return Source((f'{prefix}.{names[inner]}',))
    part, _, leaf = inner.rpartition('/')
    given = names[part] if isinstance(names[part], tuple) else (names[part],)
    return Source(tuple(f'{prefix}.{name}.{LEAVES[leaf]}' for name in given),
                  DENSE if leaf == 'kernel' else PLAIN)


_UNUSED = re.compile(COUNTERS + r'|(^|\.)mask_token$|^(head|classifier|pooler|fc_norm)\.')
OFFICIAL = Scheme('dinov2', 'facebookresearch/dinov2, also chunked (`blocks.0.N`)',
                  '`blocks.0.attn.qkv.weight`, `mask_token`, `register_tokens`', 'encoder',
                  functools.partial(_recognise_blocks, True), source, _UNUSED)
TIMM = Scheme('dinov2 (timm)', 'timm `vit_*_patch14_dinov2`, `vit_*_patch14_reg4_dinov2`',
              '`blocks.0.attn.qkv.weight`, `reg_token`', 'encoder', functools.partial(_recognise_blocks, False), source,
              _UNUSED)
HUGGING_FACE = Scheme('dinov2 (Hugging Face)', 'transformers `Dinov2Model`, `Dinov2WithRegistersModel`',
                      '`encoder.layer.0.attention.attention.query.weight`', 'encoder',
                      functools.partial(_recognise, _HUGGING_FACE), source, _UNUSED)
