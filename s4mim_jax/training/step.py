"""The training step: step(state, batch) -> (state, metrics), pure, for every method.

    batch --views--> what is seen --teacher--> targets --student passes--> outputs --terms--> loss

The same function runs under `jit` with arrays spread over a mesh and under `shard_map` with
explicit sums, see `parallel/collectives.py`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import optax
from jax.sharding import PartitionSpec

from s4mim_jax import terms
from s4mim_jax.models import build_model
from s4mim_jax.parallel import Collectives, batch_sharding, make_mesh, replicated, state_shardings
from s4mim_jax.parallel.mesh import AXES, BATCH
from s4mim_jax.pseudo_labels import blend, decay_at, longest_decay
from s4mim_jax.terms.weights import weight
from s4mim_jax.training import watch
from s4mim_jax.training.batch import check_batch
from s4mim_jax.training.forward import forward_pass
from s4mim_jax.training.optimizer import make_optimizer
from s4mim_jax.training.passes import passes_of
from s4mim_jax.training.state import TrainState, abstract_state, network_parameters
from s4mim_jax.views.randomness import StepRandomness

Metric = terms.Ratio  # of the step: a sum (f32) and a count (int32) over the global batch; divide when printing


class Length(NamedTuple):
    """int32 scalars: `config.total_steps` and `config.optimizer.warmup_steps`, as values of the program."""

    total_steps: jax.Array
    warmup_steps: jax.Array


def make_train_step(config, num_classes: int, mesh=None, *, donate: bool = False,
                    open_length: bool = False) -> Callable:
    """Compiles `step(state, batch) -> (state, metrics)` for a config.

    Args:
      config: a whole config; reads partition, precision, batch.accumulate, method and the rest.
      num_classes: C.
      mesh: axes `data`, `fsdp`; None = one device.
      donate: give the old state's memory to the new one (the caller must not use it again).
      open_length: the step takes a `Length` behind the batch, in place of what the config says. One program then
        serves any number of updates, also one that changes while the run lasts.

    batch:
      labeled    {image u8 [B, H, W, D], label u8 [B, H, W] with 255 = ignore, index i32 [B]}
      unlabeled  {image u8 [B, P, H, W, D], valid bool [B, P, H, W], index i32 [B]} and, only to
                 watch the pseudo-labels, optionally label u8 [B, P, H, W]. P = 2 with a CutMix
                 partner of its own, else 1. Methods without unlabelled terms ignore it. D = config.data.channels.

    Returns:
      the jitted step. metrics: name -> Metric; names of losses begin with `loss`, with log.gradients the norms of
      each weighted term's gradient with `gradient/`, over all parameters and over those of the encoder.
    """
    sharded = config.partition == 'shard_map'
    if sharded and mesh is None:
        mesh = make_mesh(config, jax.devices()[:1])
    if sharded:
        collectives = Collectives(axes=AXES)
    else:
        collectives = Collectives(shards=mesh.size if mesh is not None else 1)
    if open_length:
        def step(state, batch, length):
            return _local_step(_with_length(config, length), num_classes, collectives)(state, batch)
    else:
        step = _local_step(config, num_classes, collectives)
    arguments, further = (0,) if donate else (), 1 if open_length else 0
    if mesh is None:
        return jax.jit(step, donate_argnums=arguments)
    if sharded:
        step = jax.shard_map(step, mesh=mesh, in_specs=(PartitionSpec(), BATCH) + (PartitionSpec(),) * further,
                             out_specs=PartitionSpec(), check_vma=False)
        placed = replicated(mesh)
    else:
        placed = state_shardings(abstract_state(config, num_classes), mesh)
    return jax.jit(step, in_shardings=(placed, batch_sharding(mesh)) + (replicated(mesh),) * further,
                   out_shardings=(placed, replicated(mesh)), donate_argnums=arguments)


def _with_length(config, length: Length):
    """A copy of the config whose length is traced."""
    config = ml_collections.ConfigDict(config.to_dict(), type_safe=False)
    config.total_steps, config.optimizer.warmup_steps = length
    return config


def _local_step(config, num_classes, collectives):
    passes, optimizer = passes_of(config.method), make_optimizer(config)
    active = terms.active(config.method)
    model = build_model(config, num_classes, axis_name=collectives.axes)

    def losses(params, carried, teacher, batch, randomness):
        """The terms' values, weighted, and (what is carried on, metrics)."""
        statistics, states = carried
        variables = {'params': params, 'batch_stats': statistics}
        forward, statistics = forward_pass(model, config, passes, collectives, variables, teacher, batch, randomness,
                                           states)
        values = {name: _value(term.loss(forward), collectives) for name, term in active.items()}
        weighted = {name: weight(config.method, name, forward.progress) * value for name, value in values.items()}
        # Under shard_map these are this device's shares; their sum over devices is the value.
        metrics = {f'loss/{name}': Metric(value, None) for name, value in values.items()}
        seen = {f'pseudo_label/{name}': Metric(*pair) for name, pair in watch.totals(forward, batch).items()}
        updated = {name: active[name].update(forward, state) if hasattr(active[name], 'update') else state
                   for name, state in states.items()}
        return weighted, ((statistics, jax.lax.stop_gradient(updated)), metrics | seen)

    def loss(*arguments):
        weighted, (carried, metrics) = losses(*arguments)
        total = sum(weighted.values())
        return total, (carried, {'loss': Metric(total, None)} | metrics)

    def micro(params, *arguments):
        (_, (carried, metrics)), gradients = jax.value_and_grad(loss, has_aux=True)(params, *arguments)
        # One explicit all-reduce under shard_map; under jit XLA inserts it.
        gradients, metrics = collectives.sum((gradients, metrics))
        if config.log.gradients:
            metrics |= _gradients_by_term(lambda params: losses(params, *arguments)[0], params, collectives)
        one = jnp.ones((), jnp.int32)
        return gradients, carried, {n: Metric(m.total, one if m.count is None else m.count)
                                    for n, m in metrics.items()}

    def step(state: TrainState, batch):
        parts = config.batch.accumulate
        sides = ('labeled', 'unlabeled') if passes.unlabeled else ('labeled',)
        check_batch(batch, sides)
        batch = {side: batch[side] for side in sides}
        if parts == 1:
            gradients, (statistics, states), metrics = micro(state.params, (state.batch_stats, state.terms), state.ema,
                                                             batch, StepRandomness(state.seed, state.step))
        else:
            gradients, (statistics, states), metrics = _accumulate(micro, state, batch, parts)
        metrics['gradient_norm'] = Metric(optax.global_norm(gradients), jnp.ones((), jnp.int32))
        updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        # After the update: an update that explodes must not be saved before the next step's loss shows it.
        metrics['parameter_norm'] = Metric(optax.global_norm(params), jnp.ones((), jnp.int32))
        teacher = _updated_teacher(config, state, params, statistics)
        return TrainState(state.step + 1, state.seed, params, statistics, opt_state, teacher, states), metrics

    return step


def _value(ratios, collectives):
    """Mean of the ratios' values; this device's share of it under shard_map."""
    shares = []
    for ratio in ratios:
        count = collectives.sum(ratio.count)  # no gradient: counts are integers
        share = ratio.total / jnp.maximum(count, 1)
        if jnp.ndim(share):
            share = jnp.sum(share) / jnp.maximum(jnp.sum(count > 0), 1)
        shares.append(share)
    return sum(shares) / len(shares)


def _accumulate(micro, state, batch, parts):
    """Micro-batches one after the other; gradients are averaged, metrics summed.

    Micro-batch m takes examples m, m + parts, ...: those stay on their devices, and which examples
    share BatchNorm statistics does not depend on the number of devices.
    """
    strided = jax.tree.map(
        lambda x: jnp.moveaxis(x.reshape(x.shape[0] // parts, parts, *x.shape[1:]), 1, 0), batch)

    def body(carry, part):
        total, carried = carry
        gradients, carried, metrics = micro(state.params, carried, state.ema, part,
                                            StepRandomness(state.seed, state.step))
        return (jax.tree.map(jnp.add, total, gradients), carried), metrics

    zeros = jax.tree.map(jnp.zeros_like, state.params)
    (total, carried), metrics = jax.lax.scan(body, (zeros, (state.batch_stats, state.terms)), strided)
    metrics = jax.tree.map(lambda x: jnp.sum(x, axis=0, dtype=x.dtype), metrics)
    return jax.tree.map(lambda g: g / parts, total), carried, metrics


def _gradients_by_term(weighted, params, collectives) -> dict[str, Metric]:
    """Norms of the gradient of each weighted term, a backward pass each: name -> Metric without a count."""
    values, pull = jax.vjp(weighted, params)
    norms = {}
    for name in values:
        alone = {other: jnp.full_like(value, other == name) for other, value in values.items()}
        gradients = collectives.sum(pull(alone)[0])
        norms[f'gradient/{name}'] = Metric(optax.global_norm(gradients), None)
        norms[f'gradient/{name}/encoder'] = Metric(optax.global_norm(gradients.get('encoder', {})), None)
    return norms


def _updated_teacher(config, state, params, statistics):
    """The EMA teacher after this update; None when there is none."""
    if state.ema is None:
        return None
    teacher = config.method.teacher
    decay = decay_at(state.step, longest_decay(teacher.decay, config.total_steps, teacher.half_life))
    if config.method.teacher.batch_stats == 'ema':
        followed = blend(state.ema['batch_stats'], statistics, decay)
    else:
        followed = jax.tree.map(jnp.copy, statistics)
    return {'params': blend(state.ema['params'], network_parameters(params), decay), 'batch_stats': followed}
