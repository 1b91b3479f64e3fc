"""Two processes that each look at their own images arrive at the result of one."""

import json
import os
import socket
import subprocess
import sys

from fork_server import QUICK_COMPILES

PROGRAM = '''
import json, sys
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

port, count, process = map(int, sys.argv[1:4])
if count > 1:
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    jax.distributed.initialize(f'127.0.0.1:{port}', count, process)
from s4mim_jax import evaluation
from s4mim_jax.config import base

rng = np.random.default_rng(0)
images = rng.integers(0, 256, (7, 6, 8, 3), dtype=np.uint8)
labels = rng.choice([0, 1, 2, 255], (7, 12, 16)).astype(np.uint8)

def batches():
    mine = list(range(7))[process::count]
    for start in range(0, len(mine), 2):
        part = mine[start:start + 2]
        rows = (part + part)[:2]
        yield {'image': images[rows], 'label': labels[rows], 'size': np.full((2, 2), (12, 16), np.int32),
               'valid': np.arange(2) < len(part), 'id': ['x'] * 2}

# As training leaves them: one array a copy on every device, one cut over all devices of all processes.
mesh = Mesh(np.asarray(jax.devices()), ('data',))
whole = rng.normal(size=(3, 3)).astype(np.float32)
cut = np.arange(12, dtype=np.float32)
place = lambda x, spec: jax.make_array_from_callback(x.shape, NamedSharding(mesh, spec), lambda i: x[i])
variables = {'whole': place(whole, PartitionSpec()), 'cut': place(cut, PartitionSpec('data'))}

def apply_fn(variables, images):
    return images @ variables['whole'] + variables['cut'][:3]

result = evaluation.evaluate(apply_fn, variables, batches(), base(), ['a', 'b', 'c'], mesh=mesh, step=1)
open(sys.argv[4], 'w').write(json.dumps(result))  # the collectives' library prints to the terminal too
'''


def outputs(count, folder):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu',
                   'XLA_FLAGS': f'--xla_force_host_platform_device_count=2 {QUICK_COMPILES}'}
    files = [folder / f'{count}_{process}.json' for process in range(count)]
    running = [subprocess.Popen([sys.executable, '-c', PROGRAM, str(port), str(count), str(process), str(file)],
                                env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
               for process, file in enumerate(files)]
    try:
        done = [process.communicate(timeout=120) for process in running]
    finally:
        for process in running:
            process.kill()
    for process, (_, errors) in zip(running, done):
        assert process.returncode == 0, errors
    return [json.loads(file.read_text()) for file in files]


def test_two_processes_equal_one(tmp_path):
    one, = outputs(1, tmp_path)
    assert one['images'] == 7 and 0 < one['miou'] < 1
    assert outputs(2, tmp_path) == [one, one]
