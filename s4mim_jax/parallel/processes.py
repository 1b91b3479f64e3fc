"""Several processes as one run: flags, and JAX's own distributed runtime."""

import jax
from absl import flags

from s4mim_jax.errors import InputError

_FLAGS = flags.FLAGS


def define_flags() -> None:
    """--coordinator, --num_processes, --process_id for train and evaluate."""
    flags.DEFINE_string('coordinator', None, 'HOST:PORT of process 0, the same for every process')
    flags.DEFINE_integer('num_processes', None, 'how many processes take part', lower_bound=1)
    flags.DEFINE_integer('process_id', None, 'number of this process, from 0', lower_bound=0)


def initialize() -> None:
    """Joins the other processes if the flags ask for it. Must come before any use of a device.

    Raises:
      InputError: only some of the three flags are given.
    """
    given = {'coordinator': _FLAGS.coordinator, 'num_processes': _FLAGS.num_processes,
             'process_id': _FLAGS.process_id}
    missing = [f'--{name}' for name, value in given.items() if value is None]
    if len(missing) == 3:
        return
    if missing:
        raise InputError(f'{", ".join(missing)} missing: --coordinator, --num_processes and --process_id go together')
    if given['process_id'] >= given['num_processes']:
        raise InputError(f'--process_id={given["process_id"]}: must be below --num_processes={given["num_processes"]}')
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    jax.distributed.initialize(given['coordinator'], given['num_processes'], given['process_id'])
