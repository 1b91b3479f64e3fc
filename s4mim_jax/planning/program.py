"""The real training step, compiled for devices that need not be here."""

import dataclasses
import re
import time

import jax
import jax.numpy as jnp
import numpy as np

from s4mim_jax.parallel import state_shardings
from s4mim_jax.parallel.hlo import Instruction, instructions
from s4mim_jax.parallel.target import built_for
from s4mim_jax.planning.memo import Memo
from s4mim_jax.planning.memory import compiled_flops
from s4mim_jax.training import make_train_step, passes
from s4mim_jax.training.state import abstract_state

_UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}


@dataclasses.dataclass(frozen=True)
class Program:
    """What the compiler says of a step. All sizes in bytes and FLOPs are of one device.

    memory: arguments, outputs, temporaries, alias (outputs that reuse arguments), code and total.
    flops: None if unknown. bytes_accessed: read and written, None if unknown.
    """

    seconds: float
    memory: dict[str, int]
    flops: float | None
    bytes_accessed: float | None
    instructions: list[Instruction]


@dataclasses.dataclass(frozen=True)
class OutOfMemory:
    """The compiler's refusal: bytes that the step needs on a device and that there are, None if it does not say."""

    seconds: float
    needed: int | None
    limit: int | None
    message: str


def abstract_batch(config) -> dict:
    """Shapes and dtypes of a global batch as the input pipeline delivers it, hidden labels included."""
    (height, width), batch = config.data.crop, config.batch
    partners = 1 if config.method.cutmix.partner == 'batch' else 2
    array = lambda dtype, *shape: jax.ShapeDtypeStruct(shape, dtype)
    result = {'labeled': {'image': array(jnp.uint8, batch.labeled, height, width, config.data.channels),
                          'label': array(jnp.uint8, batch.labeled, height, width),
                          'index': array(jnp.int32, batch.labeled)}}
    if passes.passes_of(config.method).unlabeled:
        lead = (batch.unlabeled, partners, height, width)
        result['unlabeled'] = {'image': array(jnp.uint8, *lead, config.data.channels), 'valid': array(jnp.bool_, *lead),
                               'label': array(jnp.uint8, *lead), 'index': array(jnp.int32, batch.unlabeled)}
    return result


def tree_bytes(tree, shards: int = 1) -> int:
    """Bytes of all leaves of a tree of arrays or shapes, each divided over `shards`."""
    return sum(int(np.prod(x.shape, dtype=np.int64)) * x.dtype.itemsize for x in jax.tree.leaves(tree)) // shards


def state_bytes(config, state, mesh) -> dict[str, int]:
    """Bytes of the train state's parts on one device."""
    def part(tree):
        if config.partition == 'shard_map':
            return tree_bytes(tree)
        placed = state_shardings(tree, mesh)
        return sum(int(np.prod(s.shard_shape(x.shape), dtype=np.int64)) * x.dtype.itemsize
                   for x, s in zip(jax.tree.leaves(tree), jax.tree.leaves(placed)))

    sizes = {'parameters': part(state.params), 'batch_statistics': part(state.batch_stats),
             'optimizer': part(state.opt_state), 'teacher': part(state.ema)}
    return sizes | {'total': sum(sizes.values())}


def compile_step(config, num_classes: int, mesh, memo: Memo | None = None) -> Program | OutOfMemory:
    """Compiles the step of `train`, with the state's memory donated as there, for the devices of `mesh`.

    `memo`: where what the compiler said is kept; the same step for the same devices is not compiled again.
    """
    started = time.perf_counter()
    with built_for(mesh.devices.flat[0].platform):
        step = make_train_step(config, num_classes, mesh, donate=True)
        lowered = step.lower(abstract_state(config, num_classes), abstract_batch(config))
    known = memo and memo.read(lowered)
    if known:
        parts = [Instruction(*row) for row in known.pop('instructions', [])]
        return Program(**known, instructions=parts) if 'flops' in known else OutOfMemory(**known)
    program = _compile(config, lowered, started)
    if memo:
        memo.write(lowered, dataclasses.asdict(program))
    return program


def _compile(config, lowered, started: float) -> Program | OutOfMemory:
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' not in str(error):
            raise
        needed, limit = _sizes(str(error))
        return OutOfMemory(time.perf_counter() - started, needed, limit, str(error).partition('\n')[0][:300])
    analysis, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    memory = {'arguments': analysis.argument_size_in_bytes, 'outputs': analysis.output_size_in_bytes,
              'temporaries': analysis.temp_size_in_bytes, 'alias': analysis.alias_size_in_bytes,
              'code': analysis.generated_code_size_in_bytes}
    memory['total'] = sum(memory.values()) - 2 * memory['alias']
    # XLA counts the body of a loop once; micro-batches are the body of one.
    repeats, flops = config.batch.accumulate, compiled_flops(compiled)
    accessed = cost.get('bytes accessed')
    return Program(time.perf_counter() - started, memory, flops and flops * repeats, accessed and accessed * repeats,
                   instructions(compiled))


def _sizes(message: str) -> tuple[int | None, int | None]:
    """(bytes needed, bytes there are), as the compiler for TPUs words it now or did before; None if it does not say."""
    found = (re.search(r'required for [\w ]+\(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)', message)
             or re.search(r'Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm', message))
    if not found:
        return None, None
    used, unit, limit, limit_unit = found.groups()
    return round(float(used) * _UNITS[unit]), round(float(limit) * _UNITS[limit_unit])
