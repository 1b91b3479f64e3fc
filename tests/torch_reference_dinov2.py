"""PyTorch vision transformers with the key names of DINOv2's release, timm and transformers, written for the tests.

Each gives the patch tokens of the blocks asked for, through the final norm, as maps [B, D, h, w].
"""

import torch
from torch import nn
from torch.nn import functional as F

GRID, PATCH = 37, 14


def attend(q, k, v, heads):
    """Softmax attention of [B, T, D] tokens."""
    split = lambda t: t.unflatten(-1, (heads, -1)).transpose(1, 2)
    weights = (split(q) @ split(k).transpose(-1, -2) * (q.shape[-1] // heads) ** -0.5).softmax(-1)
    return (weights @ split(v)).transpose(1, 2).flatten(2)


def resized(grid, size, how):
    """[1, G * G, D] -> [1, h * w, D] in the three ways of the public code."""
    side = int(grid.shape[1] ** 0.5)
    grid = grid.unflatten(1, (side, side)).permute(0, 3, 1, 2)
    if how == 'offset':
        grid = F.interpolate(grid, scale_factor=tuple((n + 0.1) / side for n in size), mode='bicubic')
    else:
        grid = F.interpolate(grid, size, mode='bicubic', antialias=how == 'antialias')
    return grid.flatten(2).transpose(1, 2)


def named(**modules):
    """A module with these children."""
    holder = nn.Module()
    for name, module in modules.items():
        setattr(holder, name, module)
    return holder


def vector(name, width):
    holder = nn.Module()
    setattr(holder, name, nn.Parameter(torch.zeros(width)))
    return holder


class Block(nn.Module):
    """names: of the two layers between which the hidden features are, (fc1, fc2) or (w12, w3)."""

    def __init__(self, width, heads, gated, names):
        super().__init__()
        hidden = (width * 8 // 3 + 7) // 8 * 8 if gated else 4 * width
        self.heads, self.gated, self.names = heads, gated, names
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = named(qkv=nn.Linear(width, 3 * width), proj=nn.Linear(width, width))
        self.ls1, self.ls2 = vector('gamma', width), vector('gamma', width)
        self.mlp = named(**{names[0]: nn.Linear(width, 2 * hidden if gated else hidden),
                            names[1]: nn.Linear(hidden, width)})

    def forward(self, x):
        y = attend(*self.attn.qkv(self.norm1(x)).chunk(3, -1), self.heads)
        x = x + self.ls1.gamma * self.attn.proj(y)
        y = getattr(self.mlp, self.names[0])(self.norm2(x))
        if self.gated:
            first, second = y.chunk(2, -1)
            y = F.silu(first) * second
        else:
            y = F.gelu(y)
        return x + self.ls2.gamma * getattr(self.mlp, self.names[1])(y)


class Release(nn.Module):
    """facebookresearch's names; chunk: blocks a group where they are saved in groups (blocks.0.N)."""

    swiglu, registers_name = ('w12', 'w3'), 'register_tokens'

    def __init__(self, width=32, depth=4, heads=2, registers=0, gated=False, chunk=None, taps=(0, 1, 2, 3), grid=GRID):
        super().__init__()
        self.taps, self.registers, self.width = taps, registers, width
        self.positions = 'antialias' if registers else 'offset'
        self.patch_embed = named(proj=nn.Conv2d(3, width, PATCH, PATCH))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid ** 2, width))
        if registers:
            setattr(self, self.registers_name, nn.Parameter(torch.zeros(1, registers, width)))
        blocks = [Block(width, heads, gated, self.swiglu if gated else ('fc1', 'fc2')) for _ in range(depth)]
        self.ordered = tuple(blocks)  # a tuple is no child, so they keep one name
        if chunk:
            # A group starts with placeholders, so that the second number counts through.
            blocks = [nn.ModuleList([nn.Identity()] * i + blocks[i:i + chunk]) for i in range(0, depth, chunk)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.extra()

    def extra(self):
        self.mask_token = nn.Parameter(torch.zeros(1, self.width))

    def tokens(self, x, size):
        x = x + resized(self.pos_embed[:, 1:], size, self.positions)
        return self.cls_token + self.pos_embed[:, :1], x

    def forward(self, images):
        x = self.patch_embed.proj(images)
        size = x.shape[2:]
        token, x = self.tokens(x.flatten(2).transpose(1, 2), size)
        first = [token] + ([getattr(self, self.registers_name)] if self.registers else [])
        x = torch.cat([*(t.expand(len(x), -1, -1) for t in first), x], 1)
        maps = []
        for number, block in enumerate(self.ordered):
            x = block(x)
            if number in self.taps:
                patches = self.norm(x)[:, 1 + self.registers:]
                maps.append(patches.transpose(1, 2).unflatten(2, size))
        return tuple(maps)


class Timm(Release):
    """timm's names. With registers the class token has no position of its own."""

    swiglu, registers_name = ('fc1', 'fc2'), 'reg_token'

    def extra(self):
        self.positions = 'antialias'
        if self.registers:
            self.pos_embed = nn.Parameter(torch.zeros(1, GRID ** 2, self.width))
        self.fc_norm, self.head = nn.Identity(), nn.Linear(self.width, 10)

    def tokens(self, x, size):
        if not self.registers:
            return super().tokens(x, size)
        return self.cls_token, x + resized(self.pos_embed, size, self.positions)


class HuggingFaceLayer(nn.Module):
    def __init__(self, width, heads, gated):
        super().__init__()
        hidden = (width * 8 // 3 + 7) // 8 * 8 if gated else 4 * width
        self.heads, self.gated = heads, gated
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        linear = lambda: nn.Linear(width, width)
        self.attention = named(attention=named(query=linear(), key=linear(), value=linear()),
                               output=named(dense=linear()))
        self.layer_scale1, self.layer_scale2 = vector('lambda1', width), vector('lambda1', width)
        self.mlp = (named(weights_in=nn.Linear(width, 2 * hidden), weights_out=nn.Linear(hidden, width)) if gated
                    else named(fc1=nn.Linear(width, hidden), fc2=nn.Linear(hidden, width)))

    def forward(self, x):
        inner, y = self.attention.attention, self.norm1(x)
        y = attend(inner.query(y), inner.key(y), inner.value(y), self.heads)
        x = x + self.layer_scale1.lambda1 * self.attention.output.dense(y)
        y = self.norm2(x)
        if self.gated:
            first, second = self.mlp.weights_in(y).chunk(2, -1)
            y = self.mlp.weights_out(F.silu(first) * second)
        else:
            y = self.mlp.fc2(F.gelu(self.mlp.fc1(y)))
        return x + self.layer_scale2.lambda1 * y


class HuggingFace(nn.Module):
    """transformers' names."""

    def __init__(self, width=32, depth=4, heads=2, registers=0, gated=False, taps=(0, 1, 2, 3)):
        super().__init__()
        self.taps, self.registers = taps, registers
        parameter = lambda *shape: nn.Parameter(torch.zeros(shape))
        self.embeddings = named(cls_token=parameter(1, 1, width), mask_token=parameter(1, width),
                                position_embeddings=parameter(1, 1 + GRID ** 2, width),
                                patch_embeddings=named(projection=nn.Conv2d(3, width, PATCH, PATCH)))
        if registers:
            self.embeddings.register_tokens = parameter(1, registers, width)
        self.encoder = named(layer=nn.ModuleList(HuggingFaceLayer(width, heads, gated) for _ in range(depth)))
        self.layernorm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images):
        given, x = self.embeddings, self.embeddings.patch_embeddings.projection(images)
        size, x = x.shape[2:], x.flatten(2).transpose(1, 2)
        positions = given.position_embeddings
        x = x + resized(positions[:, 1:], size, 'antialias' if self.registers else 'size')
        first = [given.cls_token + positions[:, :1]] + ([given.register_tokens] if self.registers else [])
        x = torch.cat([*(t.expand(len(x), -1, -1) for t in first), x], 1)
        maps = []
        for number, layer in enumerate(self.encoder.layer):
            x = layer(x)
            if number in self.taps:
                maps.append(self.layernorm(x)[:, 1 + self.registers:].transpose(1, 2).unflatten(2, size))
        return tuple(maps)
