"""A network's first layer for images of another number of channels than its weights were trained on."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util

from s4mim_jax.models.initial import leaf_shapes


def with_input_channels(module: nn.Module, variables: dict, channels: int) -> dict:
    """Variables of a network on RGB -> of the same network on `channels` channels.

    One channel: the three kernels are summed, so that a gray image is answered as its RGB copy would be.
    Otherwise the first three channels take the kernels of red, green and blue, the others their mean,
    and all are scaled by 3 / channels, which keeps the size of the answer where the channels resemble
    each other (the rule is timm's for one channel, ours for several). Two channels take the mean.

    Args:
      module: from `models.build`. variables: {'params', ...}, made for three channels.
      channels: wanted, at least 1.
    """
    if channels == 3:
        return variables
    leaves = traverse_util.flatten_dict(variables, sep='/')
    three, wanted = leaf_shapes(module), leaf_shapes(module, channels)
    for path in three:
        if three[path] != wanted[path]:
            axis = next(i for i, (a, b) in enumerate(zip(three[path], wanted[path])) if a != b)
            leaves[path] = _spread(jnp.asarray(leaves[path]), axis, channels)
    return traverse_util.unflatten_dict(leaves, sep='/')


def _spread(kernel: jax.Array, axis: int, channels: int) -> jax.Array:
    if channels == 1:
        return jnp.sum(kernel, axis, keepdims=True)
    mean = jnp.mean(kernel, axis, keepdims=True)
    own = [kernel] if channels > 3 else []
    parts = own + [mean] * (channels - 3 * len(own))
    return jnp.concatenate(parts, axis) * (3.0 / channels)
