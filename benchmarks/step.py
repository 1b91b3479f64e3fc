"""Time, arithmetic and memory of a training step, arrays in (no input pipeline, no TensorFlow).

    python benchmarks/step.py --config=configs/camvid.py --methods=supervised,fixmatch,unimatch --output=FILE.json
    python benchmarks/step.py --config=configs/voc.py --methods=supervised,s4mim --encoders=resnet50,resnet101 \
        --precisions=float32,bfloat16 --crops=321x321 --batch=8

Measures every method with every encoder, precision and crop. Methods of one encoder, precision and crop take turns: a
round runs one step of each, so that a drifting machine changes all alike. `--held` programs with their states are in
memory at once. Figures are medians over rounds; FLOPs, FLOP/s and memory are those of one device. The ceiling is a
large matrix product in the same precision on the same devices just before (benchmarks/matmul.py).
"""

import argparse
import json
import sys
import time
from pathlib import Path

import jax
import numpy as np
import step_grid
from matmul import matmul_flops
from provenance import command, device

from s4mim_jax.config.errors import InputError
from s4mim_jax.parallel import check_batch, make_mesh, put_batch
from s4mim_jax.planning.memory import compiled_bytes
from s4mim_jax.training import create_state, make_train_step, passes

COLUMNS = (('s', 'step_s', '.3f'), ('CPU s', 'step_cpu_s', '.2f'), ('ratio', 'ratio', '.2f'),
           ('images/s', 'images_per_s', '.1f'), ('compile s', 'compile_s', '.1f'), ('GFLOP', 'gflop', '.1f'),
           ('TFLOP/s', 'tflops_per_s', '.3f'), ('of ceiling', 'of_ceiling', '.1%'), ('peak GiB', 'peak_gib', '.2f'))


def host_batch(config, num_classes: int) -> dict:
    """Random arrays in the shapes that the pipeline delivers."""
    draw, (height, width) = np.random.default_rng(0), config.data.crop
    labeled, unlabeled = config.batch.labeled, config.batch.unlabeled
    partners = 1 if config.method.cutmix.partner == 'batch' else 2
    pixels = lambda *shape: draw.integers(0, 256, (*shape, height, width, 3), dtype=np.uint8)
    return {
        'labeled': {'image': pixels(labeled), 'index': np.arange(labeled, dtype=np.int32),
                    'label': draw.integers(0, num_classes, (labeled, height, width), dtype=np.uint8)},
        'unlabeled': {'image': pixels(unlabeled, partners), 'index': np.arange(unlabeled, dtype=np.int32),
                      'valid': np.ones((unlabeled, partners, height, width), bool)},
    }


def prepare(config, num_classes: int, devices: list | None = None) -> dict:
    """A compiled step with its state and batch, and what compiling told.

    Args:
      config: a whole config. num_classes: C.
      devices: what it runs on; several make a mesh, None or one = a single device.

    Returns:
      step, state, batch; wall, cpu (empty lists for `one_step`); compile_s; gflop and gib of one device, as the
      compiler counts; argument_bytes of one device; device, the first one.
    """
    devices = devices or jax.local_devices()[:1]
    mesh = make_mesh(config, devices) if len(devices) > 1 else None
    batch = put_batch(host_batch(config, num_classes), mesh)
    state = create_state(config, num_classes, mesh)
    started = time.perf_counter()
    lowered = make_train_step(config, num_classes, mesh, donate=True).lower(state, batch)
    step = lowered.compile()
    return {'step': step, 'state': state, 'batch': batch, 'wall': [], 'cpu': [],
            'compile_s': time.perf_counter() - started, 'gflop': flops(config, lowered, step, devices) / 1e9,
            'gib': (compiled_bytes(step) or 0) / 2**30, 'device': devices[0],
            'argument_bytes': getattr(step.memory_analysis(), 'argument_size_in_bytes', 0)}


def flops(config, lowered, compiled, devices: list) -> float:
    """Floating-point operations of a step on one device.

    On a GPU the compiled program calls cuDNN and cuBLAS, whose work the compiler does not count; there the program
    before optimisation is counted. It is that of all devices, but under shard_map that of one.
    """
    if devices[0].platform != 'gpu':
        return compiled.cost_analysis()['flops']
    return lowered.cost_analysis()['flops'] / (1 if config.partition == 'shard_map' else len(devices))


def one_step(run: dict) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    run['state'], _ = run['step'](run['state'], run['batch'])
    jax.block_until_ready(run['state'])
    run['wall'].append(time.perf_counter() - wall)
    run['cpu'].append(time.process_time() - cpu)


def first_step(run: dict) -> None:
    """Warms up, and asks the device for the peak of this step.

    A device remembers the highest peak of the process. Where this step did not raise it, or the device keeps no
    account (CPU), the compiler's figure stands. What other runs hold at the time is taken off.
    """
    statistics = lambda: run['device'].memory_stats() or {}
    before = statistics()
    one_step(run)
    run['wall'].clear(), run['cpu'].clear()
    peak = statistics().get('peak_bytes_in_use', 0)
    run['peak_gib'], run['peak_from'] = run['gib'], 'compiler'
    if peak > before.get('peak_bytes_in_use', 0):
        others = before['bytes_in_use'] - run['argument_bytes']
        run['peak_gib'], run['peak_from'] = (peak - others) / 2**30, 'device'


def row(method: str, config, run: dict, reference: dict | None, ceiling: float, rounds: int) -> dict:
    """Figures of a run; the last `rounds` of it and of the reference were taken in turns."""
    step = float(np.median(run['wall']))
    crops = config.batch.labeled + (config.batch.unlabeled if passes.passes_of(config.method).unlabeled else 0)
    rate = run['gflop'] * 1e9 / step
    ratio = float(np.median(np.divide(run['wall'][-rounds:], reference['wall'][-rounds:]))) if reference else None
    return {'method': method, 'encoder': config.model.encoder, 'precision': config.precision,
            'crop': list(config.data.crop), 'batch': config.batch.to_dict(), 'partition': config.partition,
            'step_s': step, 'step_cpu_s': float(np.median(run['cpu'])), 'ratio': ratio,
            'images_per_s': crops / step, 'compile_s': run['compile_s'], 'gflop': run['gflop'],
            'tflops_per_s': rate / 1e12, 'ceiling_tflops_per_s': ceiling / 1e12, 'of_ceiling': rate / ceiling,
            'memory_gib': run['gib'], 'peak_gib': run['peak_gib'], 'peak_from': run['peak_from']}


def measure_setting(configs: dict, arguments, devices: list, until: float):
    """Yields a row for each method of one encoder, precision and crop, or its name and why there is none."""
    first, reference, ceiling = next(iter(configs)), None, None
    for group in step_grid.groups(list(configs), arguments.held):
        runs = {} if reference is None else {first: reference}
        fresh = [name for name in group if name not in runs]
        for name in fresh:
            if time.perf_counter() > until:
                yield name, f'left out: --seconds={arguments.seconds:g} are over'
                continue
            print(f'compiling {name} ...', flush=True)
            try:
                runs[name] = prepare(configs[name], arguments.classes, devices)
                first_step(runs[name])
            except jax.errors.JaxRuntimeError as error:  # most often memory; the next one may fit
                runs.pop(name, None)
                yield name, str(error).partition('\n')[0]
        reference = runs.get(first)
        if not runs.keys() & fresh:
            continue
        ceiling = ceiling or matmul_flops(configs[first].precision, devices)['flops_per_second']
        for _ in range(arguments.rounds):
            for run in runs.values():
                one_step(run)
        for name in fresh:
            if name in runs:
                yield name, row(name, configs[name], runs[name], reference, ceiling, arguments.rounds)


def measure(grid: dict, arguments, devices: list) -> int:
    """Measures, prints and writes setting by setting; returns 1 if a program could not be measured."""
    until = time.perf_counter() + arguments.seconds
    result = {'command': command(__file__, sys.argv[1:]), **device(len(devices)), 'rounds': arguments.rounds,
              'matmul_precision': jax.config.jax_default_matmul_precision or 'default', 'runs': [], 'missing': []}
    width = max(map(len, arguments.methods)) + 2
    for setting, configs in grid.items():
        model = next(iter(configs.values()))
        print(f'{model.model.encoder}, {model.precision}, crop {model.data.crop[0]}x{model.data.crop[1]}')
        found = []
        for name, value in measure_setting(configs, arguments, devices, until):
            if isinstance(value, dict):
                found.append(value)
                continue
            print(f'{name}: {value}', file=sys.stderr, flush=True)
            result['missing'].append({'method': name, **setting._asdict(), 'reason': value})
        for number, values in enumerate(found):
            if not number:
                print(f'{"method":<{width}}' + ''.join(f'{title:>11}' for title, _, _ in COLUMNS))
            cells = ('-' if values[key] is None else format(values[key], form) for _, key, form in COLUMNS)
            print(f'{values["method"]:<{width}}' + ''.join(f'{cell:>11}' for cell in cells), flush=True)
        result['runs'] += found
        if arguments.output:  # whole after every setting: what was measured outlasts an end by force
            part = arguments.output.with_suffix('.part')
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(result, indent=1) + '\n')
            part.replace(arguments.output)
        jax.clear_caches()
    return int(any('left out' not in entry['reason'] for entry in result['missing']))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    step_grid.add_arguments(parser)
    parser.add_argument('--classes', type=step_grid.positive, default=11)
    parser.add_argument('--rounds', type=step_grid.positive, default=7)
    parser.add_argument('--devices', type=step_grid.positive, help='how many; default: all local ones')
    parser.add_argument('--held', type=step_grid.positive, default=4, help='programs in memory at once, at least 2')
    parser.add_argument('--seconds', type=float, default=float('inf'), help='start no other program after so long')
    parser.add_argument('--output', type=Path)
    arguments = parser.parse_args()
    if arguments.held < 2:
        parser.error('--held=1: the first method stays in memory beside another; valid: 2 and more')
    devices = jax.local_devices()[:arguments.devices]
    if arguments.devices and arguments.devices > len(devices):
        parser.error(f'--devices={arguments.devices}: this process has {len(devices)}')
    try:
        grid = step_grid.configs(arguments)
        for config in (config for configs in grid.values() for config in configs.values()):
            check_batch(config, len(devices), passes.passes_of(config.method).unlabeled)
        return measure(grid, arguments, devices)
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2


if __name__ == '__main__':
    sys.exit(main())
