"""What a step gives back stays with the process, unless somebody or something else decides about memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from s4mim_jax.config import allocator

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(allocator.platform.libc_ver()[0] != 'glibc', reason='another C library')
# Blocks of 64 MiB, filled and freed; how many pages the kernel had to give for the last ten of them.
FAULTS = '''
import resource, sys
from s4mim_jax.config import allocator
print(allocator.keep_memory())
for number in range(12):
    if number == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray(b'1') * 2 ** 26
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
'''


def run(**environment):
    inherited = {name: value for name, value in allocator.os.environ.items() if not name.startswith('MALLOC_')}
    done = subprocess.run([sys.executable, '-c', FAULTS], cwd=ROOT, capture_output=True, text=True, check=True,
                          env=inherited | {'JAX_PLATFORMS': 'cpu'} | environment)
    kept, faults = done.stdout.split()
    return kept == 'True', int(faults)


def test_freed_memory_serves_again():
    kept, faults = run()
    assert kept and faults < 2 ** 14  # one block has as many pages


def test_memory_can_be_given_back():
    """What is below a block that stays in use too: the heap's end alone would not reach it."""
    code = """
from s4mim_jax.config import allocator
allocator.keep_memory()
resident = lambda: int(open('/proc/self/statm').read().split()[1])
blocks = [bytearray(b'1') * 2 ** 20 for _ in range(64)]
last, full = blocks.pop(), resident()
blocks.clear()
allocator.give_back()
print(full - resident())
"""
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True,
                          env=allocator.os.environ | {'JAX_PLATFORMS': 'cpu'})
    assert int(done.stdout) > 2 ** 13  # pages: half of the blocks


@pytest.mark.parametrize('environment', [
    {'S4MIM_KEEP_MEMORY': 'off'}, {'MALLOC_ARENA_MAX': '4'}, {'GLIBC_TUNABLES': 'glibc.malloc.arena_max=4'},
    {'JAX_PLATFORMS': 'cuda'}])
def test_who_decides_otherwise_has_it_so(environment):
    assert run(**environment)[0] is False
