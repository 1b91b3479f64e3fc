"""Vision transformers of DINOv2 (arXiv 2304.07193) as encoders: patch 14, LayerScale, optional registers.

Equal to the released networks: pre-norm blocks, exact GELU (SwiGLU in ViT-g), LayerNorm epsilon 1e-6,
qkv in one projection, a class token, and the position embedding of a 37 x 37 grid (518 pixels) resized
to the grid of the input. `model.stem, width, output_stride, padding, norm` are not a ViT's own; its
sizes can be changed by `model.vit_depth, vit_width, vit_heads`, for small networks from scratch.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from s4mim_jax.config.encoder_sizes import PATCH, PATCHES
from s4mim_jax.config.errors import InputError
from s4mim_jax.models.conv import WITHOUT_NORM
from s4mim_jax.models.layers import Style
from s4mim_jax.models.resize import cubic_matrix, separable

# name -> (depth, width, heads, SwiGLU?, blocks whose outputs the decoder sees, counted from 0)
VITS = {
    'dinov2_vits14': (12, 384, 6, False, (2, 5, 8, 11)),
    'dinov2_vitb14': (12, 768, 12, False, (2, 5, 8, 11)),
    'dinov2_vitl14': (24, 1024, 16, False, (4, 11, 17, 23)),
    'dinov2_vitg14': (40, 1536, 24, True, (9, 19, 29, 39)),
}
GRID = 37  # positions a side in the released weights
KEYS = ('registers', 'positions', 'vit_depth', 'vit_width', 'vit_heads')  # of config.model, a ViT's alone
POSITIONS = ('offset', 'size', 'antialias')
EPSILON = 1e-6
WEIGHTS = nn.initializers.normal(0.02)  # timm's rule for ViTs, whose truncation at +-2 never bites


class Linear(nn.Module):
    """[..., C] -> [..., features] in `dtype`. Parameters, float32: kernel [C, features], bias [features]."""

    features: int
    dtype: Any = jnp.float32
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param('kernel', WEIGHTS, (x.shape[-1], self.features), jnp.float32)
        if not self.use_bias:
            return x @ kernel.astype(self.dtype)
        bias = self.param('bias', nn.initializers.zeros, (self.features,), jnp.float32)
        return x @ kernel.astype(self.dtype) + bias.astype(self.dtype)


class Attention(nn.Module):
    """Multi-head self-attention over tokens [B, T, D] -> [B, T, D]; the softmax is float32."""

    heads: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, tokens, width = x.shape
        qkv = Linear(3 * width, self.dtype, name='qkv')(x)
        # Columns of the projection: first all queries, then keys, then values; head by head in each.
        q, k, v = jnp.moveaxis(qkv.reshape(batch, tokens, 3, self.heads, width // self.heads), 2, 0)
        scores = jnp.einsum('bqhd,bkhd->bhqk', q, k, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(scores * (width // self.heads) ** -0.5).astype(self.dtype)
        x = jnp.einsum('bhqk,bkhd->bqhd', weights, v).reshape(batch, tokens, width)
        return Linear(width, self.dtype, name='out')(x)


class MLP(nn.Module):
    """Two layers, four times as wide between them: GELU of the exact error function, or SwiGLU.

    SwiGLU (Shazeer 2020): silu(a) * b of one projection to (a, b); it has 2/3 of the width, rounded up
    to a multiple of 8, so that both kinds have about equally many parameters. hidden: another width of the middle.
    """

    gated: bool
    dtype: Any = jnp.float32
    hidden: int | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        if self.gated:
            hidden = self.hidden or -(-(4 * width * 2 // 3) // 8) * 8
            a, b = jnp.split(Linear(2 * hidden, self.dtype, name='w12')(x), 2, axis=-1)
            return Linear(width, self.dtype, name='w3')(jax.nn.silu(a) * b)
        x = Linear(self.hidden or 4 * width, self.dtype, name='fc1')(x)
        return Linear(width, self.dtype, name='fc2')(jax.nn.gelu(x, approximate=False))


class Block(nn.Module):
    """x + s1 * attention(norm(x)), then x + s2 * mlp(norm(x)), s a scale a channel: [B, T, D] -> [B, T, D]."""

    heads: int
    gated: bool
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = lambda name: self.param(name, nn.initializers.ones, (x.shape[-1],), jnp.float32).astype(self.dtype)
        y = Attention(self.heads, self.dtype, name='attention')(layer_norm('norm1', self.dtype)(x))
        x = x + scale('scale1') * y
        y = MLP(self.gated, self.dtype, name='mlp')(layer_norm('norm2', self.dtype)(x))
        return x + scale('scale2') * y


class ViT(nn.Module):
    """Images [B, H, W, 3] -> maps [B, H/14, W/14, D], one a tap, each through the final norm.

    H and W are multiples of 14 (InputError otherwise). Class and register tokens are seen by the patches
    and left out of the maps. taps: blocks (from 0) whose outputs are given, in order.
    positions: how the embedding is resized, see `resize_positions`.
    """

    depth: int
    width: int
    heads: int
    gated: bool
    taps: tuple[int, ...]
    registers: int
    positions: str
    style: Style

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        del train  # no layer of it behaves differently
        batch, height, width = images.shape[:3]
        if height % PATCH or width % PATCH:
            raise InputError(f'images of {height} x {width}: a ViT takes multiples of its patch, {PATCH} pixels')
        dtype, normal = self.style.dtype, nn.initializers.normal(1e-6)
        x = PatchEmbed(self.width, dtype, name='patch_embed')(images)
        rows, columns = x.shape[1:3]
        token = self.param('class_token', normal, (1, 1, self.width), jnp.float32)
        table = self.param('position_embedding', WEIGHTS, (1, 1 + GRID ** 2, self.width), jnp.float32)
        grid = resize_positions(table[:, 1:].reshape(1, GRID, GRID, self.width), (rows, columns), self.positions)
        x = (x + grid.astype(dtype)).reshape(batch, rows * columns, self.width)
        first = [(token + table[:, :1]).astype(dtype)]
        if self.registers:  # they have no position
            tokens = self.param('register_tokens', normal, (1, self.registers, self.width), jnp.float32)
            first.append(tokens.astype(dtype))
        x = jnp.concatenate([*(jnp.broadcast_to(t, (batch, *t.shape[1:])) for t in first), x], axis=1)
        make = nn.remat(Block) if self.style.remat else Block
        norm, maps = layer_norm('norm', dtype), []
        for number in range(self.depth):
            x = make(self.heads, self.gated, dtype, name=f'block{number + 1}')(x)
            if number in self.taps:
                patches = norm(x)[:, 1 + self.registers:]
                maps.append(patches.reshape(batch, rows, columns, self.width))
        return tuple(maps)


class PatchEmbed(nn.Module):
    """Every patch x patch square of [B, H, W, 3] as one linear projection: [B, H/patch, W/patch, features].

    Parameters, float32: kernel [patch, patch, 3, features], bias [features].
    """

    features: int
    dtype: Any = jnp.float32
    patch: int = PATCH

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        (batch, height, width, channels), patch = images.shape, self.patch
        rows, columns = height // patch, width // patch
        kernel = self.param('kernel', WITHOUT_NORM, (patch, patch, channels, self.features), jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, (self.features,), jnp.float32)
        # Squares do not overlap, so the convolution is one matrix product.
        x = images.astype(self.dtype).reshape(batch, rows, patch, columns, patch, channels)
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, patch * patch * channels)
        return x @ kernel.reshape(-1, self.features).astype(self.dtype) + bias.astype(self.dtype)


def layer_norm(name: str, dtype, epsilon: float = EPSILON) -> nn.LayerNorm:
    """LayerNorm with float32 statistics. Parameters: scale [D], bias [D]."""
    return nn.LayerNorm(epsilon=epsilon, dtype=dtype, use_fast_variance=False, name=name)


def resize_positions(table: jax.Array, size: tuple[int, int], how: str) -> jax.Array:
    """A position embedding [1, G, G, D] at another grid: float32 [1, h, w, D]. The same grid is left alone.

    how: bicubic in three versions, which differ by up to .1 of a position and by the kernel.
      'offset', the DINOv2 release and UniMatch V2: Keys' kernel with a = -.75, borders repeated, source
      position (i + .5) G / (n + .1) - .5. The .1 once guarded against rounding; weights know it now.
      'size', Hugging Face: the same with G / n.
      'antialias', the DINOv2 release with registers: a = -.5, G / n, the kernel widened when shrinking.
    """
    if tuple(table.shape[1:3]) == tuple(size):
        return table.astype(jnp.float32)
    extra = 0.1 if how == 'offset' else 0.0
    rows, columns = (cubic_matrix(n, m, scale=(m + extra) / n, antialias=how == 'antialias')
                     for n, m in zip(table.shape[1:3], size))
    return separable(table, rows, columns)


class Sizes(NamedTuple):
    """Of a transformer. gated: SwiGLU in place of the MLP. taps: the blocks whose outputs are its four maps."""

    depth: int
    width: int
    heads: int
    gated: bool
    taps: tuple[int, ...]


def sizes_of(published: tuple, model_config) -> Sizes:
    """The published sizes with those that config.model sets; a width without heads has one for 64 channels."""
    sizes = Sizes(*published)
    if model_config.vit_depth:
        depth = model_config.vit_depth
        sizes = sizes._replace(depth=depth, taps=tuple((i + 1) * depth // 4 - 1 for i in range(4)))
    if model_config.vit_width:
        sizes = sizes._replace(width=model_config.vit_width, heads=max(model_config.vit_width // 64, 1))
    return sizes if model_config.vit_heads is None else sizes._replace(heads=model_config.vit_heads)


def vit(name: str, model_config, style: Style, pyramid: bool = False) -> ViT:
    """The encoder that `model_config` (config.model) describes; its maps are the same for every decoder."""
    del pyramid
    return ViT(*sizes_of(VITS[name], model_config), model_config.registers,
               model_config.positions or ('antialias' if model_config.registers else 'offset'), style, name='encoder')


def validate(model_config, sizes: tuple) -> None:
    """Raises InputError for keys of a ViT that do not fit, and for keys that a ViT does not have.

    sizes: (depth, width, heads, ..) of the encoder's published network; not read of others.
    """
    encoder, given = model_config.encoder, model_config
    if encoder not in PATCHES:
        for key in KEYS:
            if given[key]:
                raise InputError(f'config.model.{key}={given[key]} is a key of ViTs; config.model.encoder={encoder} is '
                                 f'none\nvalid: {"0" if key == "registers" else "None"}')
        return
    if encoder in VITS and given.registers not in (0, 4):
        raise InputError(f'config.model.registers={given.registers} is unknown\nvalid: 0, 4')
    if given.positions not in (None, *POSITIONS):
        raise InputError(f'config.model.positions={given.positions!r} is unknown\nvalid: None, {", ".join(POSITIONS)}')
    if given.vit_depth is not None and given.vit_depth < 4:
        raise InputError(f'config.model.vit_depth={given.vit_depth} must be at least 4: four maps are tapped')
    if given.vit_width is not None and given.vit_width < 1:
        raise InputError(f'config.model.vit_width={given.vit_width} must be at least 1')
    _, width, heads, *_ = sizes_of(sizes, given)
    if heads < 1 or width % heads:
        raise InputError(f'config.model.vit_heads={given.vit_heads}: {heads} heads do not divide the width {width}')
    if given.freeze_norm:
        raise InputError(f'config.model.freeze_norm=True holds BatchNorm; config.model.encoder={encoder} has none, its '
                         'LayerNorm keeps no statistics\nvalid: False')
