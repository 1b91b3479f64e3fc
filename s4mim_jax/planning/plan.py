"""The whole plan, from a config to the JSON."""

import importlib.metadata
import platform
from collections.abc import Callable
from pathlib import Path

import jax

from s4mim_jax.config.validation import validate
from s4mim_jax.parallel import check_batch, make_mesh
from s4mim_jax.parallel.hlo import KINDS
from s4mim_jax.planning import dataset, memory, report, topologies
from s4mim_jax.planning.memo import Memo
from s4mim_jax.planning.program import OutOfMemory, Program, compile_step
from s4mim_jax.planning.resolve import resolve
from s4mim_jax.planning.run_description import run_description
from s4mim_jax.planning.time_model import FORMULA, HOP_SECONDS, StepTime, step_time
from s4mim_jax.training import passes


def make_plan(config, where: topologies.Slice | None = None, *, batch_per_device: int | None = None,
              num_classes: int | None = None, images: int | None = None, utilization: float = 0.4,
              measured: float | None = None, kept: Path | None = None,
              say: Callable[[str], None] = print) -> dict:
    """Compiles the step of `config` and gathers what it will need.

    Args:
      config: a whole config; its batch is changed by `batch_per_device`.
      where: a Cloud TPU slice, None = the devices that are here.
      num_classes, images, utilization, measured: see the flags of `s4mim_jax.plan`.
      kept: folder in which the results of compiling for a slice are kept, None = nowhere.
      say: takes the text of the report as it becomes known.

    Returns:
      the plan, ready for JSON; `memory.fits` is False where the step does not fit, None if unknown.

    Raises:
      InputError: a config that does not fit itself, the devices or the dataset.
    """
    devices = topologies.devices(where) if where else jax.devices()
    if batch_per_device:
        size = batch_per_device * len(devices)
        config.batch.update(labeled=size, unlabeled=size)
    validate(config)
    planned = passes.passes_of(config.method)
    mesh = make_mesh(config, devices)
    check_batch(config, mesh.size, planned.unlabeled)
    known = dataset.look_up(config, planned.unlabeled, num_classes, images)
    config = resolve(config, None, num_classes=known.num_classes, platform=devices[0].platform)
    if not where:
        memory.check_crop(config, known.num_classes, planned, mesh.size)
    hosts = len({device.process_index for device in devices})
    plan = {'devices': {'count': len(devices), 'kind': devices[0].device_kind, 'platform': devices[0].platform,
                        'topology': where and where.name, 'cloud_name': where and where.cloud_name, 'hosts': hosts}}
    plan |= run_description(config, known, mesh, hosts)
    say(report.before(plan, passes.describe(config)))
    say(f'compiling for {len(devices)} {"chips" if where else "device(s)"} ... (minutes for large networks)')
    memo = Memo(kept, where.name) if where and kept else None
    program = compile_step(config, known.num_classes, mesh, memo)
    say(f'compiled in {program.seconds:.1f} s' if isinstance(program, Program) else
        f'refused after {program.seconds:.1f} s')
    limit = where.chip.hbm_bytes if where else memory.device_bytes()
    plan |= {'compile_seconds': program.seconds, 'memory': _memory(program, limit)}
    if isinstance(program, Program):
        plan |= _of_program(program, plan, where, utilization, measured)
    plan['config'], plan['versions'] = config.to_dict(), _versions()
    say(report.after(plan))
    return plan


def _memory(program: Program | OutOfMemory, limit: int | None) -> dict:
    """Bytes on one device. Where the compiler refuses, only what its message says is known."""
    if isinstance(program, OutOfMemory):
        return {'fits': False, 'total': program.needed, 'limit': program.limit or limit, 'message': program.message}
    return {**program.memory, 'limit': limit, 'fits': program.memory['total'] <= limit if limit else None}


def _of_program(program: Program, plan: dict, where, utilization, measured) -> dict:
    """FLOPs, collectives and time."""
    count, found, repeats = plan['devices']['count'], program.instructions, plan['batch']['accumulate']
    rows = [{'kind': kind, 'count': len(these), 'runs': sum(i.times for i in these),
             'bytes': sum(i.bytes for i in these), 'bytes_of_all_runs': sum(i.bytes * i.times for i in these)}
            for kind in KINDS if (these := [i for i in found if i.kind == kind])]
    others = sorted({(i.kind, i.bytes, i.times, i.operation) for i in found if i.kind != 'all-reduce'},
                    key=lambda row: -row[1] * row[2])
    return {
        'flops': {'per_device': program.flops, 'global': program.flops and program.flops * count,
                  'bytes_accessed_per_device': program.bytes_accessed,
                  'source': 'as the compiler counts' + (f' a micro-batch, times {repeats}' if repeats > 1 else '')},
        'collectives': rows,
        'besides_all_reduce': [dict(zip(('kind', 'bytes', 'runs', 'operation'), row)) for row in others],
        'time': _time(program, plan, where, utilization, measured),
    }


def _time(program: Program, plan: dict, where, utilization: float, measured: float | None) -> dict | None:
    """The model of a step; without a topology only from measured seconds, without communication."""
    if where and program.flops:
        model = step_time(program.flops, program.instructions, where, utilization, program.bytes_accessed, measured)
        chip = where.chip
        assumptions = {'peak_flops': chip.peak_flops, 'utilization': utilization, 'hbm_bytes': chip.hbm_bytes,
                       'hbm_bandwidth': chip.hbm_bandwidth, 'links': chip.links, 'link_bandwidth': chip.link_bandwidth,
                       'hop_seconds': HOP_SECONDS, 'axes': list(where.axes), 'rings': list(where.rings),
                       'formula': FORMULA, 'published': 'peak, HBM, links: the vendor\'s published figures'}
    elif measured:
        model = StepTime(measured, None, measured, 0.0)
        assumptions = {'communication': 'not modelled without --topology'}
    else:
        return None
    assumptions['measured_seconds'] = measured
    return {'assumptions': assumptions, 'compute_seconds': model.compute, 'hbm_seconds': model.hbm,
            'work_seconds': model.work, 'communication_seconds': model.communication,
            'overlapped': _bound(model.overlapped, plan), 'exposed': _bound(model.exposed, plan),
            'least_efficiency': model.least_efficiency}


def _bound(bound: tuple[float, float], plan: dict) -> dict:
    seconds, efficiency = bound
    schedule, batch, devices = plan['schedule'], plan['batch'], plan['devices']
    hours = schedule['total_steps'] * seconds / 3600
    return {'step_seconds': seconds, 'efficiency': efficiency,
            'images_per_second': (batch['labeled'] + batch['unlabeled']) / seconds,
            'images_per_second_per_host': (batch['labeled'] + batch['unlabeled']) / seconds / devices['hosts'],
            'hours': hours, 'device_hours': hours * devices['count'],
            'hours_for_the_same_images': schedule['steps_for_the_same_images'] * seconds / 3600}


def _versions() -> dict:
    versions = {'python': platform.python_version()}
    for name in ('jax', 'jaxlib', 'libtpu', 'flax'):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions
