"""Vision transformers of DINOv3 (arXiv 2508.10104) as encoders: patch 16, rotary positions, four registers.

Equal to the released networks: pre-norm blocks with LayerScale, LayerNorm epsilon 1e-5, exact GELU (SwiGLU in the plus
sizes), queries and values with a bias and keys without, and no table of positions: the queries and keys of patches are
turned by angles that grow with the patch's place in the image, which lies in -1 .. 1 whatever the image's size.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from s4mim_jax.config.encoder_sizes import PATCHES
from s4mim_jax.config.errors import InputError
from s4mim_jax.models.layers import Style
from s4mim_jax.models.vit import MLP, WEIGHTS, Linear, PatchEmbed, layer_norm, sizes_of

# name -> (depth, width, heads, SwiGLU?, blocks whose outputs the decoder sees, counted from 0)
DINOV3 = {
    'dinov3_vits16': (12, 384, 6, False, (2, 5, 8, 11)),
    'dinov3_vits16plus': (12, 384, 6, True, (2, 5, 8, 11)),
    'dinov3_vitb16': (12, 768, 12, False, (2, 5, 8, 11)),
    'dinov3_vitl16': (24, 1024, 16, False, (4, 11, 17, 23)),
    'dinov3_vith16plus': (32, 1280, 20, True, (7, 15, 23, 31)),
}
REGISTERS, BASE, EPSILON = 4, 100.0, 1e-5


@functools.lru_cache(maxsize=64)
def rotation(rows: int, columns: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of the angles by which patches are turned: float32 [rows * columns, channels] each.

    A patch's centre (y, x), each in -1 .. 1, times 2 pi / period, for channels / 4 periods 100 ** (4 i / channels);
    the half of y and x comes twice, as channel i is turned together with channel i + channels / 2.
    """
    centre = lambda count: 2.0 * (np.arange(count, dtype=np.float64) + 0.5) / count - 1.0
    places = np.stack(np.meshgrid(centre(rows), centre(columns), indexing='ij'), -1).reshape(-1, 2)
    periods = BASE ** (4.0 * np.arange(channels // 4) / channels)
    angles = (2.0 * np.pi * places[:, :, None] / periods).reshape(len(places), -1)
    angles = np.concatenate([angles, angles], 1)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def turned(tokens: jax.Array, cosines: np.ndarray, sines: np.ndarray) -> jax.Array:
    """[B, T, heads, D] with its last tokens, as many as there are angles [P, D], turned; the first stay."""
    first = tokens.shape[1] - len(cosines)
    patches = tokens[:, first:].astype(jnp.float32)
    left, right = jnp.split(patches, 2, -1)
    patches = patches * cosines[:, None] + jnp.concatenate([-right, left], -1) * sines[:, None]
    return jnp.concatenate([tokens[:, :first], patches.astype(tokens.dtype)], 1)


class RotaryAttention(nn.Module):
    """Multi-head self-attention over tokens [B, T, D] -> [B, T, D]; patches are turned, the softmax is float32."""

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, angles: tuple[np.ndarray, np.ndarray]) -> jax.Array:
        batch, tokens, width = x.shape
        bias = self.param('query_value_bias', nn.initializers.zeros, (2 * width,), jnp.float32).astype(self.dtype)
        joined = Linear(3 * width, self.dtype, use_bias=False, name='qkv')(x)
        # A bias of keys would shift what a query sees by distance; the released networks hold it at zero.
        joined += jnp.concatenate([bias[:width], jnp.zeros_like(bias[:width]), bias[width:]])
        q, k, v = jnp.moveaxis(joined.reshape(batch, tokens, 3, self.heads, width // self.heads), 2, 0)
        q, k = turned(q, *angles), turned(k, *angles)
        scores = jnp.einsum('bqhd,bkhd->bhqk', q, k, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(scores * (width // self.heads) ** -0.5).astype(self.dtype)
        x = jnp.einsum('bhqk,bkhd->bqhd', weights, v).reshape(batch, tokens, width)
        return Linear(width, self.dtype, name='out')(x)


class Block(nn.Module):
    """x + s1 * attention(norm(x)), then x + s2 * mlp(norm(x)), s a scale a channel: [B, T, D] -> [B, T, D]."""

    heads: int
    gated: bool
    grid: tuple[int, int]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        scale = lambda name: self.param(name, nn.initializers.ones, (width,), jnp.float32).astype(self.dtype)
        norm = lambda name: layer_norm(name, self.dtype, EPSILON)
        y = RotaryAttention(self.heads, self.dtype, name='attention')(
            norm('norm1')(x), rotation(*self.grid, width // self.heads))
        x = x + scale('scale1') * y
        # Six times the width before the gate, of which two thirds remain: four times in either kind.
        y = MLP(self.gated, self.dtype, hidden=4 * width, name='mlp')(norm('norm2')(x))
        return x + scale('scale2') * y


class RotaryViT(nn.Module):
    """Images [B, H, W, 3] -> maps [B, H/16, W/16, D], one a tap, each through the final norm.

    H and W are multiples of 16 (InputError otherwise). Class and register tokens are seen by the patches and left
    out of the maps. taps: blocks (from 0) whose outputs are given, in order.
    """

    patch: int
    depth: int
    width: int
    heads: int
    gated: bool
    taps: tuple[int, ...]
    style: Style

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        del train  # no layer of it behaves differently
        batch, height, width = images.shape[:3]
        if height % self.patch or width % self.patch:
            raise InputError(f'images of {height} x {width}: a ViT takes multiples of its patch, {self.patch} pixels')
        dtype = self.style.dtype
        x = PatchEmbed(self.width, dtype, self.patch, name='patch_embed')(images)
        rows, columns = x.shape[1:3]
        first = [self.param('class_token', WEIGHTS, (1, 1, self.width), jnp.float32),
                 self.param('register_tokens', WEIGHTS, (1, REGISTERS, self.width), jnp.float32)]
        first = [jnp.broadcast_to(token.astype(dtype), (batch, *token.shape[1:])) for token in first]
        x = jnp.concatenate([*first, x.reshape(batch, rows * columns, self.width)], 1)
        make = nn.remat(Block) if self.style.remat else Block
        norm, maps = layer_norm('norm', dtype, EPSILON), []
        for number in range(self.depth):
            x = make(self.heads, self.gated, (rows, columns), dtype, name=f'block{number + 1}')(x)
            if number in self.taps:
                maps.append(norm(x)[:, 1 + REGISTERS:].reshape(batch, rows, columns, self.width))
        return tuple(maps)


def dinov3(name: str, model_config, style: Style, pyramid: bool = False) -> RotaryViT:
    """The encoder that `model_config` (config.model) describes; its maps are the same for every decoder."""
    del pyramid
    return RotaryViT(PATCHES[name], *sizes_of(DINOV3[name], model_config), style, name='encoder')


def validate(model_config) -> None:
    """Raises InputError for keys that DINOv3's transformers do not have, or that do not fit their positions."""
    if model_config.encoder not in DINOV3:
        return
    for key, none in (('registers', 0), ('positions', None)):
        if model_config[key]:
            raise InputError(f'config.model.{key}={model_config[key]} is a key of DINOv2; {model_config.encoder} has '
                             f'{REGISTERS} registers and rotary positions\nvalid: {none}')
    _, width, heads, *_ = sizes_of(DINOV3[model_config.encoder], model_config)
    if width % heads == 0 and width // heads % 4:
        raise InputError(f'config.model.vit_heads={model_config.vit_heads}: {width // heads} channels a head; rotary '
                         'positions take multiples of 4')
