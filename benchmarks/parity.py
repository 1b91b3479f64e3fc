"""Do a processor and the accelerator compute the same training steps? A few steps of both, float32 throughout.

    python benchmarks/parity.py [--config=configs/shapes.py] [--methods=s4mim,union] [--set KEY=VALUE ...]
        [--steps=3] [--output=FILE.json]

Each side runs in a process of its own, the reference with JAX_PLATFORMS=cpu, the other where JAX runs by default, both
with jax_default_matmul_precision=highest (GPUs multiply float32 as TensorFloat-32 otherwise). Compared are the losses
of every step and the parameters after the last, each relative to its largest entry. Exit status 1: they differ by more
than the tolerance.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

# Where sums round otherwise; two compilations for one processor (with and without optimisation) were 8e-7 apart.
TOLERANCE = 1e-4
# What is compared is the arithmetic: no step large enough to amplify rounding, no pixel at a threshold.
CALM = (('optimizer.name', 'sgd'), ('optimizer.learning_rate', '1e-3'), ('precision', 'float32'), ('method.tau', '0.0'),
        ('method.mim.tau', '0.0'))


def worker(task: dict) -> None:
    """Runs the steps here and writes losses and final parameters to task['file']."""
    import jax
    from step import host_batch
    from step_grid import overrides

    from s4mim_jax.config.command_line import load_config
    from s4mim_jax.config.validation import validate
    from s4mim_jax.training import create_state, make_train_step
    jax.config.update('jax_default_matmul_precision', 'highest')
    config = load_config(f'{task["config"]}:{task["method"]}', [*CALM, *overrides(task['set'])])
    validate(config)
    state, step = create_state(config, task['classes']), make_train_step(config, task['classes'])
    found = {}
    for number in range(task['steps']):
        batch = host_batch(config, task['classes'])
        for stream in batch.values():
            stream['index'] = stream['index'] + number * len(stream['index'])
        state, metrics = step(state, batch)
        found |= {f'{name} {number + 1}': value.total for name, value in metrics.items() if name.startswith('loss')}
    for path, leaf in jax.tree_util.tree_leaves_with_path({'params': state.params, 'batch_stats': state.batch_stats}):
        found[jax.tree_util.keystr(path)] = leaf
    first = jax.devices()[0]
    np.savez(task['file'], device=f'{first.platform}: {first.device_kind}', **jax.device_get(found))


def both_sides(task: dict, folder: str) -> list[dict]:
    """Arrays by name that `worker` made on the processor and where JAX runs by default; both run at once."""
    # Compiled for one look: without LLVM's expensive passes in a fraction of the time, with the same arithmetic.
    quick = ' '.join([os.environ.get('XLA_FLAGS', ''), '--xla_backend_optimization_level=0',
                      '--xla_llvm_disable_expensive_passes=true'])
    environments = {'reference': os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': quick}, 'other': dict(os.environ)}
    running = []
    for side, environment in environments.items():
        described = json.dumps(task | {'file': f'{folder}/{side}.npz'})
        running.append(subprocess.Popen([sys.executable, __file__, '--worker', described], env=environment))
    statuses = [process.wait() for process in running]
    if any(statuses):
        sys.exit(max(statuses))
    found = []
    for side in environments:
        with np.load(f'{folder}/{side}.npz') as stored:
            found.append(dict(stored))
    return found


def differences(reference: dict, other: dict) -> dict[str, float]:
    """Largest relative difference of the losses (those of the first step alone, too) and of parameters and statistics.

    An array's entries are compared relative to its largest; not a number, or other names, count as infinite.
    """
    if reference.keys() != other.keys():
        return {'names': float('inf')}
    worst = {'first loss': 0.0, 'losses': 0.0, 'parameters': 0.0, 'statistics': 0.0}
    for name, value in reference.items():
        a, b = np.asarray(value, np.float64), np.asarray(other[name], np.float64)
        error = float(np.max(np.abs(a - b), initial=0) / max(np.max(np.abs(a), initial=0), 0.01))
        error = error if np.isfinite(error) else float('inf')
        kind = 'losses' if name.startswith('loss') else 'parameters' if "'params'" in name else 'statistics'
        worst[kind] = max(worst[kind], error)
        if name == 'loss 1':
            worst['first loss'] = error
    return worst


def main() -> int:
    if sys.argv[1:2] == ['--worker']:
        from s4mim_jax.config.errors import InputError
        try:
            worker(json.loads(sys.argv[2]))
        except InputError as error:
            print(f'error: {error}', file=sys.stderr)
            return 2
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--config', default='configs/shapes.py')
    parser.add_argument('--methods', default='s4mim,union')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', help='an override of the config')
    parser.add_argument('--classes', type=int, default=9)
    parser.add_argument('--steps', type=int, default=3)
    parser.add_argument('--output', type=Path)
    arguments = parser.parse_args()
    task = {'config': arguments.config, 'classes': arguments.classes, 'steps': arguments.steps,
            'set': arguments.set}
    rows = []
    for method in arguments.methods.split(','):
        with tempfile.TemporaryDirectory() as folder:
            reference, other = both_sides(task | {'method': method}, folder)
        devices = [str(arrays.pop('device')) for arrays in (reference, other)]
        found = differences(reference, other)
        rows.append({'method': method, 'devices': devices, 'differences': found,
                     'agree': max(found.values()) <= TOLERANCE})
        print(f'{method:<12}{devices[0]} | {devices[1]}: ' + ', '.join(f'{k} {v:.1e}' for k, v in found.items())
              + ('' if rows[-1]['agree'] else f'  more than {TOLERANCE:g}'), flush=True)
    if arguments.output:
        from provenance import command, device
        arguments.output.write_text(json.dumps({
            'command': command(__file__, sys.argv[1:]), **device(1), 'steps': arguments.steps,
            'tolerance': TOLERANCE, 'methods': rows}, indent=1) + '\n')
    return 0 if all(row['agree'] for row in rows) else 1


if __name__ == '__main__':
    sys.exit(main())
