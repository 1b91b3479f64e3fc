"""Images a second of the loop itself: batches from the host, copied while steps run, metrics fetched now and then.

    python benchmarks/throughput.py --config=configs/voc.py:s4mim [--set KEY=VALUE ...] [--seconds=15]
        [--output=FILE.json]

Against benchmarks/step.py, which waits after every step with its batch in place, this has the copies in it and lets
the host run ahead, as training does (runs/loop.py). Arrays stand in for the input pipeline.
"""

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

import jax
import numpy as np
from provenance import command, device
from step import host_batch
from step_grid import overrides

from s4mim_jax.config.command_line import load_config
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.parallel import check_batch, make_mesh
from s4mim_jax.runs.feed import device_batches
from s4mim_jax.training import create_state, make_train_step, passes

BATCHES = 4  # different ones, over and over: what they hold does not change the time


def host_batches(config, num_classes: int):
    """Endless: BATCHES host batches with the indices of a run that goes on."""
    kept = [host_batch(config, num_classes) for _ in range(BATCHES)]
    for number in itertools.count():
        batch = kept[number % BATCHES]
        yield {stream: values | {'index': values['index'] + np.int32(number * len(values['index']))}
               for stream, values in batch.items()}


def measure(config, num_classes: int, seconds: float, log_every: int) -> dict:
    """Trains on all local devices for about so many seconds after a warm-up of `log_every` steps.

    Returns:
      steps, seconds, step_s, images_per_s, host_to_device_bytes (a step), loss (the last mean, to see that it trained).
    """
    devices, semi = jax.local_devices(), passes.passes_of(config.method).unlabeled
    check_batch(config, len(devices), semi)
    mesh = make_mesh(config, devices) if len(devices) > 1 else None  # as step.py: one compiled program for both
    state = create_state(config, num_classes, mesh)
    batches = device_batches(host_batches(config, num_classes), mesh)
    first = next(batches)
    step = make_train_step(config, num_classes, mesh, donate=True).lower(state, first).compile()
    waiting, done, began = [], 0, None
    for batch in batches:
        with jax.transfer_guard('disallow'):
            state, metrics = step(state, batch)
        waiting.append(metrics)
        if len(waiting) < log_every:
            continue
        fetched, waiting = jax.device_get(waiting), []  # the host waits here, as on a logging step
        loss = float(np.mean([values['loss'].total for values in fetched]))
        if began is None:
            began = time.perf_counter()
            continue
        done, taken = done + log_every, time.perf_counter() - began
        if taken >= seconds:
            break
    images = config.batch.labeled + (config.batch.unlabeled if semi else 0)
    return {'steps': done, 'seconds': taken, 'step_s': taken / done, 'images_per_s': images * done / taken,
            'loss': loss, 'host_to_device_bytes': sum(leaf.nbytes for leaf in jax.tree.leaves(first))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--config', default='configs/voc.py:s4mim')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', help='an override of the config')
    parser.add_argument('--classes', type=int, default=21)
    parser.add_argument('--seconds', type=float, default=15.0)
    parser.add_argument('--log_every', type=int, default=10, help='steps between two fetches of the metrics')
    parser.add_argument('--output', type=Path)
    arguments = parser.parse_args()
    try:
        config = load_config(arguments.config, overrides(arguments.set))
        validate(config)
        found = measure(config, arguments.classes, arguments.seconds, arguments.log_every)
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'{config.method.name}, {config.model.encoder}, {config.precision}: {found["images_per_s"]:.1f} images/s, '
          f'{1e3 * found["step_s"]:.1f} ms a step over {found["steps"]} steps, '
          f'{found["host_to_device_bytes"]:,} bytes to the device a step')
    if arguments.output:
        arguments.output.write_text(json.dumps({
            'command': command(__file__, sys.argv[1:]), **device(), 'method': config.method.name,
            'encoder': config.model.encoder, 'precision': config.precision, 'crop': list(config.data.crop),
            'batch': config.batch.to_dict(), **found}, indent=1) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
