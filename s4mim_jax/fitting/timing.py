"""How long an update takes on this machine: measured, with the real network and the real images."""

import time
from typing import NamedTuple

import jax
import numpy as np

# Timed are so many updates and so many seconds at least, but no more than MOST: the input that was prepared while the
# program compiled is used up, and a hiccup counts for little.
UPDATES, SECONDS, MOST = 3, 4.0, 24


class Timing(NamedTuple):
    """Seconds: of an update, input included; and of everything before the first one."""

    step: float
    start: float


def measure(config) -> Timing:
    """Compiles the training step of a config, for any length, and makes a few updates, which are thrown away.

    Raises:
      InputError: a config or data that cannot be used; a step that does not fit the memory.
    """
    from s4mim_jax import data
    from s4mim_jax.data.streams import training_batches
    from s4mim_jax.parallel import check_batch, make_mesh, replicated
    from s4mim_jax.planning import memory
    from s4mim_jax.planning.resolve import resolve
    from s4mim_jax.runs.feed import device_batches
    from s4mim_jax.training import passes
    from s4mim_jax.training.initial import create_state
    from s4mim_jax.training.step import Length, make_train_step
    began = time.perf_counter()
    source = data.open_source(config.data)
    split = data.training_split(source, config.data.split, config.seed)
    mesh, unlabeled = make_mesh(config), passes.passes_of(config.method).unlabeled
    check_batch(config, mesh.size, unlabeled)
    tables = data.check_samples(source, split.labeled + (split.unlabeled if unlabeled else ()))
    config = resolve(config, source, split.labeled)
    state = create_state(config, source.num_classes, mesh)
    batches = device_batches(training_batches(source, split, config, tables=tables, with_unlabeled=unlabeled), mesh)
    batch = next(batches)
    length = jax.device_put(Length(np.int32(config.total_steps), np.int32(config.optimizer.warmup_steps)),
                            replicated(mesh))
    step = make_train_step(config, source.num_classes, mesh, donate=True, open_length=True)
    step = step.lower(state, batch, length).compile()
    memory.check_compiled(config, memory.compiled_bytes(step))
    state, metrics = step(state, batch, length)
    jax.block_until_ready(metrics)
    start, marked = time.perf_counter() - began, time.perf_counter()
    for done in range(1, MOST + 1):
        state, metrics = step(state, next(batches), length)
        jax.block_until_ready(metrics)
        spent = time.perf_counter() - marked
        if done >= UPDATES and spent > SECONDS:
            break
    return Timing(spent / done, start)
