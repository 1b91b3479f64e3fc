"""Processes wait for one another, longer than the runtime does: before their first collective and at the end."""

import subprocess
import sys

import pytest
from process_world import ROOT, free_port

START = """
import pathlib, sys, time
import jax, jax.numpy as jnp
from absl import flags
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from s4mim_jax.parallel import processes
processes.define_flags()
flags.FLAGS(sys.argv[:-1])
written = pathlib.Path(sys.argv[-1])
processes.initialize(written.parent)
first = flags.FLAGS.process_id == 0
"""
# Process 0 has more to do in the end.
FAREWELL = START + """
with processes.together():
    if first:
        time.sleep(3)
        written.touch()
assert written.exists()
"""
# One compiles longer than a first collective of all devices would wait for it (30 s).
COMPILE = START + """
with processes.together():
    rows = NamedSharding(Mesh(jax.devices(), 'data'), PartitionSpec('data'))
    time.sleep(35 * first)
    processes.meet('compiled')
    ones = jax.jit(lambda: jnp.ones(jax.device_count()), out_shardings=rows)()
    total = jax.jit(jnp.sum, out_shardings=NamedSharding(rows.mesh, PartitionSpec()))(ones)
    assert float(total) == jax.device_count() == 4
"""


@pytest.mark.parametrize('program', [FAREWELL, pytest.param(COMPILE, marks=pytest.mark.slow)])
def test_processes_wait_for_one_another(program, tmp_path, monkeypatch):
    monkeypatch.setenv('XLA_FLAGS', '--xla_force_host_platform_device_count=2')
    address, several = f'--coordinator=127.0.0.1:{free_port()}', ('--num_processes=2', '--heartbeat_timeout=5')
    processes = [subprocess.Popen([sys.executable, '-c', program, address, *several, f'--process_id={number}',
                                   tmp_path / 'written'], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                 for number in range(2)]
    try:
        said = [process.communicate(timeout=200)[0].decode() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
