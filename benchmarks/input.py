"""How fast the input pipeline is on one core, and how much of that a training step needs.

    python benchmarks/input.py [--data_dir=FOLDER] [--step_ms=MS] [--output=FILE.json]

Needs CamVid: $S4MIM_DATA/camvid, data/camvid or --data_dir. Every figure comes from a process of
its own that is pinned to one core before TensorFlow starts. Images per second of that process's
CPU time are the figure per core: on an idle machine they equal those per second of the clock, on a
busy one the clock also counts the others' work. Each crop counts as an image, a CutMix partner too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

REPEATS = 5  # the median is reported
FILES, KEPT = 'files', 'kept'  # every image read and decoded each time it is used | decoded once

# Crop 321 from the 480 x 360 photographs as they are.
LARGE = {'data.crop': (321, 321), 'data.resize': None}
CASES = [
    ('labelled', LARGE, dict(with_unlabeled=False)),
    ('+ unlabelled', LARGE | {'method.cutmix.partner': 'batch'}, dict(with_hidden_labels=False)),
    ('+ unlabelled, hidden masks', LARGE | {'method.cutmix.partner': 'batch'}, {}),
    ('+ unlabelled, self_view', LARGE | {'method.cutmix.partner': 'self_view'},
     dict(with_hidden_labels=False)),
    ('+ unlabelled, self_view, hidden masks', LARGE | {'method.cutmix.partner': 'self_view'}, {}),
    ('+ unlabelled, independent', LARGE | {'method.cutmix.partner': 'independent'},
     dict(with_hidden_labels=False)),
    ('run of configs/camvid.py', {}, {}),
]


def run_config(changes: dict, data_dir: str | None):
    """configs/camvid.py:unimatch with some keys changed."""
    from configs import camvid
    config = camvid.get_config('unimatch')
    config.data.dir = data_dir
    for key, value in changes.items():
        *parents, last = key.split('.')
        node = config
        for parent in parents:
            node = node[parent]
        node[last] = value
    return config


def measure_stream(config, options: dict, mode: str, batches: int) -> dict:
    """Images per second of CPU time and of the clock, over batches that come after a warm-up.

    Args:
      config: whole config.
      options: switches of `training_batches`.
      mode: FILES or KEPT; what KEPT decodes once is decoded in the warm-up.
      batches: measured in each repeat.
    """
    from s4mim_jax import data
    source = data.open_source(config.data)
    split = data.training_split(source, config.data.split, config.seed)
    table = data.check_samples(source, split.labeled + split.unlabeled)
    stream = data.training_batches(source, split, config, tables=table,
                                   keep_decoded=0 if mode == FILES else 2 ** 34, **options)
    first = next(stream)
    images = sum(values['image'][..., 0, 0, 0].size for values in first.values())
    epoch = max(len(split.labeled) // config.batch.labeled, len(split.unlabeled) // config.batch.unlabeled)
    started = time.process_time()
    for _ in range(epoch + 4 if mode == KEPT else 4):
        next(stream)
    warm_up = time.process_time() - started
    cpu, clock = [], []
    for _ in range(REPEATS):
        begin = time.process_time(), time.perf_counter()
        for _ in range(batches):
            next(stream)
        cpu.append(time.process_time() - begin[0])
        clock.append(time.perf_counter() - begin[1])
    stream.close()
    result = {'images_per_batch': images, 'batch_bytes': sum(
                  value.nbytes for values in first.values() for value in values.values()),
              'images_per_cpu_second': images * batches / statistics.median(cpu),
              'images_per_second': images * batches / statistics.median(clock)}
    if mode == KEPT:
        result['first_epoch_images_per_cpu_second'] = images * (epoch + 4) / warm_up
    return result


def measure_step(config) -> dict:
    """Median milliseconds of the training step of a config, on random bytes, on all of JAX's devices."""
    import jax
    import numpy as np

    from s4mim_jax import parallel
    from s4mim_jax.training import create_state, make_train_step
    classes, (height, width) = 11, config.data.crop
    labeled, unlabeled = config.batch.labeled, config.batch.unlabeled
    views = 1 if config.method.cutmix.partner == 'batch' else 2
    draw = np.random.default_rng(0)
    batch = {
        'labeled': {'image': draw.integers(0, 256, (labeled, height, width, 3), np.uint8),
                    'label': draw.integers(0, classes, (labeled, height, width), np.uint8),
                    'index': np.arange(labeled, dtype=np.int32)},
        'unlabeled': {'image': draw.integers(0, 256, (unlabeled, views, height, width, 3), np.uint8),
                      'valid': np.ones((unlabeled, views, height, width), bool),
                      'index': np.arange(unlabeled, dtype=np.int32)}}
    mesh = parallel.make_mesh(config)
    batch = parallel.put_batch(batch, mesh)
    state, step = create_state(config, classes, mesh), make_train_step(config, classes, mesh)
    milliseconds = []
    for _ in range(2 + REPEATS):
        begin = time.perf_counter()
        state, metrics = step(state, batch)
        jax.block_until_ready((state, metrics))
        milliseconds.append(1e3 * (time.perf_counter() - begin))
    return {'step_ms': statistics.median(milliseconds[2:]), 'device': jax.devices()[0].device_kind,
            'devices': jax.device_count()}


def worker(task: dict) -> dict:
    """One measurement, in this process."""
    if task['kind'] == 'step':
        return measure_step(run_config({}, task['data_dir']))
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    from s4mim_jax.data.tensorflow_setup import tf
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    _, changes, options = CASES[task['case']]
    return measure_stream(run_config(changes, task['data_dir']), options, task['mode'], task['batches'])


def in_own_process(task: dict) -> dict:
    """`worker(task)` in a fresh process; its messages pass through, its last line is the result."""
    done = subprocess.run([sys.executable, __file__, '--worker', json.dumps(task)],
                          stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def table_row(case: dict) -> str:
    return (f'{case["stream"]:<40}{case["mode"]:<7}{case["images_per_cpu_second"]:>15.0f}'
            f'{case["images_per_second"]:>12.0f}{case["batch_bytes"] / 1e6:>12.2f}')


def main() -> None:
    parser = argparse.ArgumentParser(description='Speed of the input pipeline on one core.')
    parser.add_argument('--data_dir', help='CamVid, if not $S4MIM_DATA/camvid or data/camvid')
    parser.add_argument('--step_ms', type=float, help='time of a training step; default: measure it')
    parser.add_argument('--batches', type=int, default=25, help='batches in each of the five repeats')
    parser.add_argument('--output', type=Path, help='also write the figures to this JSON file')
    parser.add_argument('--worker', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        from s4mim_jax.config.errors import InputError
        try:
            print(json.dumps(worker(json.loads(arguments.worker))))
        except InputError as error:
            print(f'error: {error}', file=sys.stderr)
            sys.exit(2)
        return
    print(f'{"stream (CamVid, 8 + 8, crop 321 or the run)":<47}{"images/s a core":>15}{"by clock":>12}'
          f'{"MB a batch":>12}')
    task, cases = {'data_dir': arguments.data_dir, 'batches': arguments.batches}, []
    for number, (name, _, _) in enumerate(CASES):
        for mode in (FILES, KEPT):
            figures = in_own_process(task | {'kind': 'stream', 'case': number, 'mode': mode})
            cases.append({'stream': name, 'mode': mode} | figures)
            print(table_row(cases[-1]), flush=True)
    step = {'step_ms': arguments.step_ms} if arguments.step_ms else in_own_process(task | {'kind': 'step'})
    feed = cases[-1]
    needed = 1e3 * feed['images_per_batch'] / step['step_ms']
    step['images_per_second'] = needed
    step['pipeline_over_step'] = feed['images_per_cpu_second'] / needed
    step['host_to_device_bytes'] = feed['batch_bytes']  # a step sends its batch and nothing else
    print(f'training step of the run: {step["step_ms"]:.0f} ms, consumes {needed:.0f} images/s; '
          f'the pipeline on one core delivers {step["pipeline_over_step"]:.1f} times that\n'
          f'host to device: {step["host_to_device_bytes"]:,} bytes a step')
    if arguments.output:
        import provenance  # brings JAX, which the measuring processes configure for themselves
        report = {'command': provenance.command(__file__, sys.argv[1:]), **provenance.device(), 'cases': cases,
                  'step': step}
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    main()
