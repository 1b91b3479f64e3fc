"""DINOv3's vision transformers in three spellings: the release's own, timm's (`eva`) and Hugging Face's.

All hold a bias for queries and values and none for keys: the release by a mask over one bias of three parts, timm in
two arrays (`_qkvb`; its other files have none, which is zero), Hugging Face as layers of their own.
"""

import functools
import re

import numpy as np

from s4mim_jax.config.encoder_sizes import PATCHES
from s4mim_jax.models.dinov3 import DINOV3
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
    'patch_embed': 'patch_embed.proj', 'class_token': 'cls_token', 'register_tokens': 'storage_tokens', 'norm': 'norm',
    'norm1': 'norm1', 'attention/qkv': ('attn.qkv',), 'attention/query_value_bias': ('attn.qkv.bias',),
    'attention/out': 'attn.proj', 'scale1': 'ls1.gamma', 'norm2': 'norm2', 'mlp/fc1': ('mlp.fc1',),
    'mlp/fc2': ('mlp.fc2',), 'mlp/w12': ('mlp.w1', 'mlp.w2'), 'mlp/w3': ('mlp.w3',), 'scale2': 'ls2.gamma'}
_TIMM = {
    **_OFFICIAL, 'register_tokens': 'reg_token', 'attention/query_value_bias': ('attn.q_bias', 'attn.v_bias'),
    'scale1': 'gamma_1', 'scale2': 'gamma_2', 'mlp/w12': ('mlp.fc1_g', 'mlp.fc1_x'), 'mlp/w3': ('mlp.fc2',)}
_HUGGING_FACE = {
    **_OFFICIAL, 'patch_embed': 'embeddings.patch_embeddings', 'class_token': 'embeddings.cls_token',
    'register_tokens': 'embeddings.register_tokens',
    'attention/qkv': tuple(f'attention.{x}_proj' for x in 'qkv'),
    'attention/query_value_bias': ('attention.q_proj.bias', 'attention.v_proj.bias'),
    'attention/out': 'attention.o_proj', 'scale1': 'layer_scale1.lambda1', 'scale2': 'layer_scale2.lambda1',
    'mlp/fc1': ('mlp.up_proj',), 'mlp/fc2': ('mlp.down_proj',), 'mlp/w12': ('mlp.gate_proj', 'mlp.up_proj'),
    'mlp/w3': ('mlp.down_proj',)}
_BLOCK = re.compile(r'^(?:(?:model\.)?layer|blocks)\.(\d+)(?=\.)')


def _without_keys(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A bias of queries, keys and values -> of queries and values."""
    if array.ndim != 1 or 2 * array.size != 3 * shape[-1]:
        return array
    query, _, value = np.split(array, 3)
    return np.concatenate([query, value])


WITHOUT_KEYS = Layout(_without_keys, lambda shape: (3 * shape[-1] // 2,))


def _recognise(names: dict, arrays: Arrays) -> Found | None:
    blocks = {int(m[1]): m[0] for n in arrays if (m := _BLOCK.match(n))}
    first = blocks.get(0, '')
    query = shape_of(arrays, f'{first}.{names["attention/qkv"][0]}.weight')
    embed, registers = (shape_of(arrays, name) for name in (names['patch_embed'] + '.weight', names['register_tokens']))
    # What tells it from DINOv2 and other ViTs: registers, LayerScale, and no table of positions.
    if not query or not embed or not registers or f'{first}.{names["scale1"]}' not in arrays or 'pos_embed' in arrays:
        return None
    depth, width = max(blocks) + 1, query[-1]
    gated = f'{first}.{names["mlp/w12"][0]}.weight' in arrays and f'{first}.{names["mlp/w12"][1]}.weight' in arrays
    known = [name for name, (*sizes, _, glu, _) in DINOV3.items() if sizes == [depth, width] and glu == gated]
    network = known[0] if known else 'dinov3_vits16plus' if gated else 'dinov3_vits16'
    settings = {'vit_depth': None if known else depth, 'vit_width': None if known else width}
    refusal = ''
    if embed[-2:] != (PATCHES[network],) * 2:
        refusal = f'its patches have {embed[-2]} x {embed[-1]} pixels, here {PATCHES[network]} x {PATCHES[network]}'
    biased = f'{first}.{names["attention/query_value_bias"][0]}' in arrays
    return Found(network, settings, refusal=refusal, details=(names, blocks, biased))


def source(path: str, found: Found) -> Source:
    """Our leaf -> its names."""
    names, blocks, biased = found.details
    module, _, inner = path.partition('/')
    number = re.fullmatch(r'block(\d+)', module)
    if not number:
        return torch_leaf(names[module], inner) if inner else Source((names[module],))
    prefix = blocks.get(int(number[1]) - 1) or re.sub(r'\d+$', str(int(number[1]) - 1), blocks[0])
    if inner == 'attention/query_value_bias':
        if not biased:
            return Source(())
        given = tuple(f'{prefix}.{name}' for name in names[inner])
        return Source(given, WITHOUT_KEYS if len(given) == 1 else PLAIN)
    if inner in names:  # the scales
        return Source((f'{prefix}.{names[inner]}',))
    part, _, leaf = inner.rpartition('/')
    given = names[part] if isinstance(names[part], tuple) else (names[part],)
    return Source(tuple(f'{prefix}.{name}.{LEAVES[leaf]}' for name in given), DENSE if leaf == 'kernel' else PLAIN)


_UNUSED = re.compile(COUNTERS + r'|(^|\.)mask_token$|\.bias_mask$|(^|\.)rope_embed(dings)?\.|^(local_)?cls_norm\.|'
                     r'\.k_bias$|^(head|classifier|pooler|fc_norm)\.')
OFFICIAL = Scheme('dinov3', 'facebookresearch/dinov3', '`storage_tokens`, `blocks.0.attn.qkv.bias_mask`', 'encoder',
                  functools.partial(_recognise, _OFFICIAL), source, _UNUSED)
TIMM = Scheme('dinov3 (timm)', 'timm `vit_*_patch16_dinov3`, `vit_*_patch16_dinov3_qkvb`',
              '`blocks.0.gamma_1`, `reg_token`', 'encoder', functools.partial(_recognise, _TIMM), source, _UNUSED)
HUGGING_FACE = Scheme('dinov3 (Hugging Face)', 'transformers `DINOv3ViTModel`', '`layer.0.attention.q_proj.weight`',
                      'encoder', functools.partial(_recognise, _HUGGING_FACE), source, _UNUSED)
