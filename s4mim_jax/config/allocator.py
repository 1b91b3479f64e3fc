"""The C library's memory allocator, told to keep what a step gives back: the next step needs it again.

XLA:CPU asks for the memory of a program's intermediate values at every run and gives it back at its end. glibc maps
blocks of that size anew each time, and the kernel fills every page of them with zeros at its first use: a third of the
processor time of a step of configs/camvid.py (docs/performance.md). With one arena and without maps of their own, freed
blocks stay in the heap and serve again. Needs no JAX.
"""

import ctypes
import os
import platform

from s4mim_jax.config.xla_flags import only_cpu

SWITCH = 'S4MIM_KEEP_MEMORY'
# Parameters of mallopt, from malloc.h; -1 of the trim threshold = never.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_memory() -> bool:
    """Freed memory stays with this process, for programs of the processor.

    Every command line that trains or predicts calls it; from Python call it before JAX is first used. It does nothing
    with S4MIM_KEEP_MEMORY=off, where JAX may find an accelerator, whose programs have their memory there, where
    the environment sets glibc's allocator already (MALLOC_..., GLIBC_TUNABLES), and with another C library.

    Returns:
      whether it was done.
    """
    own = any(name.startswith('MALLOC_') for name in os.environ) or 'malloc' in os.environ.get('GLIBC_TUNABLES', '')
    if os.environ.get(SWITCH) == 'off' or own or platform.libc_ver()[0] != 'glibc' or not only_cpu():
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(parameter, value) == 1
               for parameter, value in ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1)))


def give_back() -> None:
    """Returns to the system what was freed: after compiling, which needs far more memory than a step and only once."""
    if platform.libc_ver()[0] == 'glibc':
        ctypes.CDLL(None).malloc_trim(0)
