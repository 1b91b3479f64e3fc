"""Time of a training step, arrays in (no input pipeline, no TensorFlow), methods interleaved.

    python benchmarks/step.py --config=configs/camvid.py --methods=supervised,fixmatch,unimatch --output=FILE.json

Every round runs one step of each method in turn, so that a drifting machine changes all alike. Prints medians,
CPU seconds of this process a step, ratios to the first method, compile time and the compiler's FLOPs.
"""

import argparse
import json
import time
from pathlib import Path

import jax
import numpy as np

from s4mim_jax.command import load_config
from s4mim_jax.parallel import put_batch
from s4mim_jax.training import create_state, make_train_step
from s4mim_jax.training.memory import compiled_bytes


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


def prepare(config, num_classes: int) -> dict:
    """A compiled step with its state and batch, and what compiling told."""
    batch = put_batch(host_batch(config, num_classes), None)
    state = create_state(config, num_classes)
    started = time.perf_counter()
    step = make_train_step(config, num_classes, donate=True).lower(state, batch).compile()
    return {'step': step, 'state': state, 'batch': batch, 'wall': [], 'cpu': [],
            'compile_s': time.perf_counter() - started, 'gflop': step.cost_analysis()['flops'] / 1e9,
            'gib': (compiled_bytes(step) or 0) / 2**30}


def one_step(run: dict) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    run['state'], _ = run['step'](run['state'], run['batch'])
    jax.block_until_ready(run['state'])
    run['wall'].append(time.perf_counter() - wall)
    run['cpu'].append(time.process_time() - cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--config', default='configs/camvid.py')
    parser.add_argument('--methods', default='supervised,fixmatch,unimatch,unimatch_v2')
    parser.add_argument('--classes', type=int, default=11)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--output', type=Path)
    arguments = parser.parse_args()
    names = arguments.methods.split(',')
    runs = {name: prepare(load_config(f'{arguments.config}:{name}', []), arguments.classes) for name in names}
    for number in range(arguments.rounds + 1):
        for run in runs.values():
            one_step(run)
            if number == 0:  # the first step warms up
                run['wall'].clear(), run['cpu'].clear()
    first = runs[names[0]]['wall']
    rows = {name: {'step_s': float(np.median(run['wall'])), 'step_cpu_s': float(np.median(run['cpu'])),
                   'ratio': float(np.median(np.divide(run['wall'], first))), 'compile_s': run['compile_s'],
                   'gflop': run['gflop'], 'memory_gib': run['gib']} for name, run in runs.items()}
    device = jax.devices()[0]
    result = {'command': f'benchmarks/step.py --config={arguments.config} --methods={arguments.methods}',
              'device': f'{device.platform}: {device.device_kind}', 'rounds': arguments.rounds, 'methods': rows}
    print(f'{"method":<14}{"step s":>9}{"CPU s":>8}{"ratio":>7}{"compile s":>11}{"GFLOP":>8}{"GiB":>7}')
    for name, row in rows.items():
        print(f'{name:<14}{row["step_s"]:>9.3f}{row["step_cpu_s"]:>8.2f}{row["ratio"]:>7.2f}{row["compile_s"]:>11.1f}'
              f'{row["gflop"]:>8.1f}{row["memory_gib"]:>7.2f}')
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=2) + '\n')


if __name__ == '__main__':
    main()
