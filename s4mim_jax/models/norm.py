"""Normalisation: BatchNorm (synchronised, frozen) and GroupNorm behind one module."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from s4mim_jax.models import extent

EPSILON = 1e-5
MOMENTUM = 0.9  # of the running statistics; PyTorch calls this 0.1
GROUPS = 32


class Norm(nn.Module):
    """Normalises [B, H, W, C]; statistics and parameters are float32, the result has `dtype`.

    kind 'batch': statistics of the batch in training, running ones otherwise (also in training if
      `frozen`). Under jit a sharded batch is one batch; inside shard_map `axis_name` makes it one.
      Running statistics are in collection 'batch_stats': mean, var [C]; the variance is the biased one.
    kind 'group': GroupNorm with 32 groups, or as many as divide C (Wu & He 2018); no running state.
    """

    kind: str = 'batch'
    frozen: bool = False
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        channels = x.shape[-1]
        scale = self.param('scale', nn.initializers.ones, (channels,), jnp.float32)
        bias = self.param('bias', nn.initializers.zeros, (channels,), jnp.float32)
        if self.kind == 'group':
            return self._group(x, scale, bias)
        mean = self.variable('batch_stats', 'mean', jnp.zeros, (channels,), jnp.float32)
        var = self.variable('batch_stats', 'var', jnp.ones, (channels,), jnp.float32)
        if not train or self.frozen:
            return self._affine(x, mean.value, var.value, scale, bias)
        # The initialisation runs outside shard_map, where the axis has no name.
        axis_name = None if self.is_initializing() else self.axis_name
        batch_mean, batch_var = moments(x, axis_name)
        if not self.is_initializing():
            mean.value = MOMENTUM * mean.value + (1 - MOMENTUM) * batch_mean
            var.value = MOMENTUM * var.value + (1 - MOMENTUM) * batch_var
        return self._affine(x, batch_mean, batch_var, scale, bias)

    def _affine(self, x, mean, var, scale, bias):
        factor = scale * lax.rsqrt(var + EPSILON)
        return (x.astype(jnp.float32) * factor + (bias - mean * factor)).astype(self.dtype)

    def _group(self, x, scale, bias):
        b, h, w, c = x.shape
        groups = math.gcd(GROUPS, c)
        grouped = x.astype(jnp.float32).reshape(b, h, w, groups, c // groups)
        mean = _group_mean(grouped)
        var = _group_mean(jnp.square(grouped - mean))
        normalized = ((grouped - mean) * lax.rsqrt(var + EPSILON)).reshape(b, h, w, c)
        return (normalized * scale + bias).astype(self.dtype)


def moments(x: jax.Array, axis_name: str | None) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance over all but the last axis, float32, averaged over `axis_name`.

    Every device holds the same number of pixels, so the mean of means is the mean of all.
    """
    x = x.astype(jnp.float32)
    axes = tuple(range(x.ndim - 1))
    mean, square = x.mean(axes), jnp.square(x).mean(axes)
    if axis_name is not None:
        mean, square = lax.pmean((mean, square), axis_name)
    return mean, jnp.maximum(square - jnp.square(mean), 0.0)


def _group_mean(x: jax.Array) -> jax.Array:
    """Mean over the pixels of an image and the channels of a group: [B, H, W, G, C / G] -> [B, 1, 1, G, 1]."""
    if not extent.active():
        return x.mean((1, 2, 4), keepdims=True)
    b, h, w, groups, channels = x.shape
    return extent.mean(x.reshape(b, h, w, -1)).reshape(b, 1, 1, groups, channels).mean(4, keepdims=True)
