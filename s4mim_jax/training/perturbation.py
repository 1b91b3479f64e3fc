"""Feature perturbation between encoder and decoder: dropped channels (UniMatch V1 and V2)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from s4mim_jax.views.randomness import StepRandomness
from s4mim_jax.views.table import Views


def perturbation(call, table: Views, sizes: dict[str, int], config, collectives, index,
                 randomness: StepRandomness) -> Callable | None:
    """The hook between encoder and decoder of a call, or None.

    Args:
      call: passes.Call. table: of the method's views. sizes: view -> batch size, in the call's order.
      index: i32 [B], global indices of the unlabelled examples. randomness: of the step.
    """
    dropped = [name for name in call.decoded if table[name].dropped]
    paired = config.method.complementary_dropout and call.views == table.strong
    if not dropped and not paired:
        return None
    # Named by what is drawn, not by the call: switching another view off changes no draw.
    keys = randomness.keys('features/paired' if paired else 'features/dropped', index)
    order = list(sizes.values())

    def perturb(features):
        return tuple(change(feature, level) for level, feature in enumerate(features))

    def change(feature, level):
        parts = dict(zip(call.views, collectives.split(feature, order)))
        if paired:
            masks = complementary_masks(keys, feature.shape[-1])
            return collectives.join([parts[v] * m.astype(feature.dtype)[:, None, None]
                                     for v, m in zip(call.views, masks)])
        own = jax.vmap(lambda key: jax.random.fold_in(key, level))(keys)  # levels drop independently
        keep = channel_dropout(own, feature.shape[-1], config.method.feature_dropout).astype(feature.dtype)
        second = [parts[table[d].base] * keep[:, None, None] for d in dropped]
        return collectives.join([feature, *second])

    return perturb


def channel_dropout(keys: jax.Array, channels: int, rate: float) -> jax.Array:
    """Inverted dropout of whole channels: keys [B] -> f32 [B, C] with values 0 and 1 / (1 - rate)."""
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1.0 - rate, (channels,)))(keys)
    return keep / (1.0 - rate)


def complementary_masks(keys: jax.Array, channels: int) -> tuple[jax.Array, jax.Array]:
    """UniMatch V2: m ~ 2 Bernoulli(1/2) for s1 and 2 - m for s2; about half the pairs keep ones.

    Levels with equally many channels get the same mask, as in the released code. There exactly
    half of a device's pairs keep ones; a coin an image (ours) does not depend on the device.

    Returns:
      two f32 [B, C].
    """
    def one(key):
        coin, channel = jax.random.split(key)
        mask = 2.0 * jax.random.bernoulli(channel, 0.5, (channels,))
        return jnp.where(jax.random.bernoulli(coin, 0.5), 1.0, mask)

    mask = jax.vmap(one)(keys)
    return mask, 2.0 - mask
