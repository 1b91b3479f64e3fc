"""PyTorch networks with the key names of DINOv3's release, timm and transformers, written for the tests.

The transformers give the patch tokens of the blocks asked for, through the final norm, as maps [B, D, h, w]; the
ConvNeXts give the maps of their stages, the last one through the final norm.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch_reference_dinov2 import named, vector

PATCH = 16


def angles(size, channels):
    """Angles of the patches of a grid: [h * w, channels]."""
    rows, columns = ((torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1 for n in size)
    places = torch.cartesian_prod(rows, columns)
    periods = 100.0 ** (torch.arange(channels // 4, dtype=torch.float64) / (channels // 4))
    return torch.cat([2 * math.pi * places[:, i:i + 1] / periods for i in (0, 1)] * 2, 1).float()


def rotated(x, turn):
    """[B, heads, T, D]; the last tokens are patches."""
    prefix, patches = x[:, :, :-len(turn)], x[:, :, -len(turn):]
    half = x.shape[-1] // 2
    swapped = torch.cat([-patches[..., half:], patches[..., :half]], -1)
    return torch.cat([prefix, patches * turn.cos() + swapped * turn.sin()], 2)


def attend(q, k, v, heads, turn):
    split = lambda t: t.unflatten(-1, (heads, -1)).transpose(1, 2)
    q, k = rotated(split(q), turn), rotated(split(k), turn)
    weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)
    return (weights @ split(v)).transpose(1, 2).flatten(2)


def norm(width):
    return nn.LayerNorm(width, eps=1e-5)


class Vit(nn.Module):
    """What the three have in common; a subclass names the parts."""

    def __init__(self, width=32, depth=4, heads=2, gated=False, taps=(0, 1, 2, 3)):
        super().__init__()
        self.width, self.heads, self.gated, self.taps = width, heads, gated, taps
        self.build(width, depth)

    def forward(self, images):
        x = self.patches()(images)
        size, x = x.shape[2:], x.flatten(2).transpose(1, 2)
        x = torch.cat([*(t.expand(len(x), -1, -1) for t in self.tokens()), x], 1)
        turn, maps = angles(size, self.width // self.heads), []
        for number, block in enumerate(self.layers()):
            x = self.block(block, x, turn)
            if number in self.taps:
                maps.append(self.norm(x)[:, 5:].transpose(1, 2).unflatten(2, size))
        return tuple(maps)

    def block(self, block, x, turn):
        y = self.attention(block, block.norm1(x), turn)
        first, second = self.scales(block)
        x = x + first * y
        return x + second * self.mlp(block.mlp, block.norm2(x))


class Release(Vit):
    glu, plain, register = ('w1', 'w2', 'w3'), ('fc1', 'fc2'), 'storage_tokens'

    def build(self, width, depth):
        parameter = lambda *shape: nn.Parameter(torch.zeros(shape))
        self.patch_embed = named(proj=nn.Conv2d(3, width, PATCH, PATCH))
        self.cls_token = parameter(1, 1, width)
        setattr(self, self.register, parameter(1, 4, width))
        self.blocks = nn.ModuleList(self.one(width) for _ in range(depth))
        self.norm = norm(width)
        self.extra(width)

    def extra(self, width):
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.rope_embed = nn.Module()
        self.rope_embed.register_buffer('periods', torch.ones(width // self.heads // 4))
        for block in self.blocks:
            block.attn.qkv.register_buffer('bias_mask', torch.ones(3 * width))

    def one(self, width):
        linear = {name: nn.Linear(width, 4 * width) for name in (self.glu if self.gated else self.plain)[:-1]}
        return named(norm1=norm(width), norm2=norm(width), **self.scale_parts(width), attn=self.attention_parts(width),
                     mlp=named(**linear, **{(self.glu if self.gated else self.plain)[-1]: nn.Linear(4 * width, width)}))

    def scale_parts(self, width):
        return dict(ls1=vector('gamma', width), ls2=vector('gamma', width))

    def attention_parts(self, width):
        return named(qkv=nn.Linear(width, 3 * width), proj=nn.Linear(width, width))

    def patches(self):
        return self.patch_embed.proj

    def tokens(self):
        return self.cls_token, getattr(self, self.register)

    def layers(self):
        return self.blocks

    def scales(self, block):
        return block.ls1.gamma, block.ls2.gamma

    def attention(self, block, x, turn):
        q, _, v = block.attn.qkv.bias.chunk(3)  # the mask leaves the keys without
        bias = torch.cat([q, torch.zeros_like(q), v])
        parts = F.linear(x, block.attn.qkv.weight, bias).chunk(3, -1)
        return block.attn.proj(attend(*parts, self.heads, turn))

    def mlp(self, mlp, x):
        if not self.gated:
            return getattr(mlp, self.plain[1])(F.gelu(getattr(mlp, self.plain[0])(x)))
        gate, up, down = (getattr(mlp, name) for name in self.glu)
        return down(F.silu(gate(x)) * up(x))


class Timm(Release):
    """timm's names; biased: the `_qkvb` networks."""

    glu, register, biased = ('fc1_g', 'fc1_x', 'fc2'), 'reg_token', True

    def extra(self, width):
        self.fc_norm = nn.Identity()

    def scale_parts(self, width):
        return dict(gamma_1=nn.Parameter(torch.zeros(width)), gamma_2=nn.Parameter(torch.zeros(width)))

    def attention_parts(self, width):
        attention = named(qkv=nn.Linear(width, 3 * width, bias=False), proj=nn.Linear(width, width))
        if self.biased:
            attention.q_bias, attention.v_bias = (nn.Parameter(torch.zeros(width)) for _ in range(2))
        return attention

    def scales(self, block):
        return block.gamma_1, block.gamma_2

    def attention(self, block, x, turn):
        bias = None
        if self.biased:
            bias = torch.cat([block.attn.q_bias, torch.zeros_like(block.attn.q_bias), block.attn.v_bias])
        parts = F.linear(x, block.attn.qkv.weight, bias).chunk(3, -1)
        return block.attn.proj(attend(*parts, self.heads, turn))


class TimmWithoutBias(Timm):
    biased = False


class HuggingFace(Release):
    """transformers' names."""

    glu, plain = ('gate_proj', 'up_proj', 'down_proj'), ('up_proj', 'down_proj')

    def build(self, width, depth):
        parameter = lambda *shape: nn.Parameter(torch.zeros(shape))
        self.embeddings = named(cls_token=parameter(1, 1, width), mask_token=parameter(1, 1, width),
                                register_tokens=parameter(1, 4, width),
                                patch_embeddings=nn.Conv2d(3, width, PATCH, PATCH))
        self.layer = nn.ModuleList(self.one(width) for _ in range(depth))
        self.norm = norm(width)

    def one(self, width):
        block = super().one(width)
        block.attention = block.attn
        del block.attn
        return block

    def scale_parts(self, width):
        return dict(layer_scale1=vector('lambda1', width), layer_scale2=vector('lambda1', width))

    def attention_parts(self, width):
        return named(q_proj=nn.Linear(width, width), k_proj=nn.Linear(width, width, bias=False),
                     v_proj=nn.Linear(width, width), o_proj=nn.Linear(width, width))

    def patches(self):
        return self.embeddings.patch_embeddings

    def tokens(self):
        return self.embeddings.cls_token, self.embeddings.register_tokens

    def layers(self):
        return self.layer

    def scales(self, block):
        return block.layer_scale1.lambda1, block.layer_scale2.lambda1

    def attention(self, block, x, turn):
        part = block.attention
        return part.o_proj(attend(part.q_proj(x), part.k_proj(x), part.v_proj(x), self.heads, turn))


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of [B, C, H, W]."""

    def __init__(self, width):
        super().__init__(width, eps=1e-6)

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXt(nn.Module):
    """The release's names; a subclass tells others."""

    depthwise, block_norm, first, second = 'dwconv', 'norm', 'pwconv1', 'pwconv2'

    def __init__(self, blocks=(3, 3, 9, 3), width=8):
        super().__init__()
        widths = [width * 2 ** i for i in range(4)]
        shrinks = [nn.Sequential(nn.Conv2d(3, width, 4, 4), ChannelNorm(width))]
        shrinks += [nn.Sequential(ChannelNorm(a), nn.Conv2d(a, b, 2, 2)) for a, b in zip(widths, widths[1:])]
        stages = [nn.ModuleList(self.one(w) for _ in range(count)) for count, w in zip(blocks, widths)]
        self.parts, last = list(zip(shrinks, stages)), ChannelNorm(widths[-1])
        self.last = (last,)
        self.name_parts(shrinks, stages, last)

    def one(self, width):
        mlp = {self.first: nn.Linear(width, 4 * width), self.second: nn.Linear(4 * width, width)}
        return named(**{self.depthwise: nn.Conv2d(width, width, 7, padding=3, groups=width),
                        self.block_norm: nn.LayerNorm(width, eps=1e-6)}, **self.mlp_parts(mlp),
                     gamma=nn.Parameter(torch.zeros(width)))

    def mlp_parts(self, mlp):
        return mlp

    def mlp_of(self, block):
        return block

    def name_parts(self, shrinks, stages, last):
        self.downsample_layers, self.stages, self.norm = nn.ModuleList(shrinks), nn.ModuleList(stages), last
        self.norms = nn.ModuleList([nn.Identity(), nn.Identity(), nn.Identity(), last])

    def forward(self, x):
        maps = []
        for shrink, stage in self.parts:
            x = shrink(x)
            for block in stage:
                y = getattr(block, self.depthwise)(x).permute(0, 2, 3, 1)
                mlp = self.mlp_of(block)
                y = getattr(mlp, self.second)(F.gelu(getattr(mlp, self.first)(getattr(block, self.block_norm)(y))))
                x = x + (block.gamma * y).permute(0, 3, 1, 2)
            maps.append(x)
        maps[-1] = self.last[0](maps[-1])
        return tuple(maps)


class TimmConvNeXt(ConvNeXt):
    depthwise, first, second = 'conv_dw', 'fc1', 'fc2'

    def mlp_parts(self, mlp):
        return dict(mlp=named(**mlp))

    def mlp_of(self, block):
        return block.mlp

    def name_parts(self, shrinks, stages, last):
        self.stem = shrinks[0]
        self.stages = nn.ModuleList(named(blocks=stage, **({'downsample': shrink} if i else {}))
                                    for i, (shrink, stage) in enumerate(zip(shrinks, stages)))
        self.head = named(norm=last)


class HuggingFaceConvNeXt(ConvNeXt):
    depthwise, block_norm, first, second = 'depthwise_conv', 'layer_norm', 'pointwise_conv1', 'pointwise_conv2'

    def name_parts(self, shrinks, stages, last):
        self.stages = nn.ModuleList(named(downsample_layers=shrink, layers=stage)
                                    for shrink, stage in zip(shrinks, stages))
        self.layer_norm = last
