"""Optimisers, schedules and parameter groups, from `config.optimizer`."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from s4mim_jax.training.amsgrad import scale_by_amsgrad


def base_learning_rate(config) -> float:
    """The encoder's peak rate: the recipe's, scaled linearly from its batch to this one.

    The linear rule is UniMatch's (the author's stated answer to 'cannot reproduce').
    """
    return config.optimizer.learning_rate * config.batch.labeled / config.optimizer.reference_batch


def schedule(config) -> Callable:
    """Factor in 0..1 of the peak rate as a function of completed updates.

    poly: (1 - t/T)^power; cosine: (1 + cos(pi t/T)) / 2; constant. A linear warm-up over
    `warmup_steps` multiplies it. Both numbers of steps may be traced: then they are values of the program.
    """
    optimizer, total, warmup = config.optimizer, config.total_steps, config.optimizer.warmup_steps
    if isinstance(warmup, jax.Array):
        warmup = jnp.maximum(warmup, 1)

    def factor(step):
        t = jnp.minimum(jnp.asarray(step, jnp.float32) / total, 1.0)
        if optimizer.schedule == 'poly':
            value = (1.0 - t) ** optimizer.power
        elif optimizer.schedule == 'cosine':
            value = 0.5 * (1.0 + jnp.cos(jnp.pi * t))
        else:
            value = jnp.ones_like(t)
        if isinstance(warmup, jax.Array) or warmup:
            value *= jnp.minimum((jnp.asarray(step, jnp.float32) + 1.0) / warmup, 1.0)
        return value

    return factor


NETWORK = ('encoder', 'decoder')  # first names of the segmentation network's parameters; others are terms' heads


def parameter_groups(params) -> object:
    """'encoder' or 'head', the decoder and the heads of terms, for every parameter, by its first path element."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: 'encoder' if path[0].key == 'encoder' else 'head', params)


def _scale_heads(multiplier: float) -> optax.GradientTransformation:
    def update(updates, state, params=None):
        groups = parameter_groups(updates if params is None else params)
        return jax.tree.map(lambda u, g: u * multiplier if g == 'head' else u, updates, groups), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def make_optimizer(config) -> optax.GradientTransformation:
    """The chain: clip, decay and momentum (or Adam), group multiplier, schedule.

    SGD adds the weight decay before the momentum, as PyTorch does; AdamW decays after the
    adaptive scaling (decoupled), `adam` and `amsgrad` before it (L2, as in PyTorch). A part that is
    off is the identity, so that a checkpoint resumes with clipping or decay switched on.
    """
    o = config.optimizer
    factor, peak = schedule(config), base_learning_rate(config)
    decay = [optax.add_decayed_weights(o.weight_decay) if o.weight_decay else optax.identity()]
    rules = {
        'sgd': lambda: [*decay, optax.trace(decay=o.momentum)],
        'adamw': lambda: [optax.scale_by_adam(b1=o.b1, b2=o.b2), *decay],
        'adam': lambda: [*decay, optax.scale_by_adam(b1=o.b1, b2=o.b2)],
        'amsgrad': lambda: [*decay, scale_by_amsgrad(b1=o.b1, b2=o.b2)],
    }
    clip = optax.clip_by_global_norm(o.clip_norm) if o.clip_norm else optax.identity()
    heads = _scale_heads(o.head_multiplier) if o.head_multiplier != 1.0 else optax.identity()
    chain = optax.chain(clip, *rules[o.name](), heads, optax.scale_by_schedule(lambda step: -peak * factor(step)))
    if not config.model.freeze_encoder:
        return chain
    # Moments of a held encoder would take twice its memory.
    return optax.multi_transform({'head': chain, 'encoder': optax.set_to_zero()}, parameter_groups)
