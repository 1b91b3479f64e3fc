"""Several processes as one run: found in the environment or by flags; JAX's own distributed runtime."""

import contextlib
import os
import socket
import sys
import time

import jax
from absl import flags
from jax.experimental import multihost_utils

from s4mim_jax.config.errors import InputError, unforeseen
from s4mim_jax.parallel.roll_call import RollCall

_FLAGS = flags.FLAGS
LOST = ('gloo', 'nccl', 'connection', 'unavailable', 'deadline', 'heartbeat')  # in messages of failed collectives


def define_flags() -> None:
    """Flags of train and evaluate. Without them Cloud TPU, SLURM, Open MPI and Kubernetes are detected by JAX."""
    flags.DEFINE_string('coordinator', None, 'HOST:PORT of process 0, the same for every process')
    flags.DEFINE_integer('num_processes', None, 'how many processes take part', lower_bound=1)
    flags.DEFINE_integer('process_id', None, 'number of this process, from 0', lower_bound=0)
    flags.DEFINE_integer('join_timeout', 300, 'seconds to wait for the other processes at the start', lower_bound=1)
    flags.DEFINE_integer('heartbeat_timeout', 60, 'seconds of silence after which a process counts as dead and all '
                         'others end', lower_bound=5)


def initialize(workdir) -> None:
    """Joins the other processes, if flags or the environment say that there are any.

    Must come before any use of a device. A process that dies later ends the others: JAX's runtime misses its
    heartbeat and ends every process with a message that names it.

    Args:
      workdir: the run folder, which all processes share; it helps to name one that never comes.

    Raises:
      InputError: only some of the three flags are given; a port or an environment that cannot be used.
    """
    given = {'coordinator': _FLAGS.coordinator, 'num_processes': _FLAGS.num_processes,
             'process_id': _FLAGS.process_id}
    missing = [f'--{name}' for name, value in given.items() if value is None]
    if 0 < len(missing) < 3:
        raise InputError(f'{", ".join(missing)} missing: --coordinator, --num_processes and --process_id go together')
    if missing:
        _from_environment(workdir)
        return
    if given['process_id'] >= given['num_processes']:
        raise InputError(f'--process_id={given["process_id"]}: must be below --num_processes={given["num_processes"]}')
    host, _, port = given['coordinator'].rpartition(':')
    if not host or not port.isdigit():
        raise InputError(f'--coordinator={given["coordinator"]}: must be HOST:PORT, for example 10.0.0.2:8476')
    if given['process_id'] == 0:
        _check_port(int(port))
    print(f'process {given["process_id"]} of {given["num_processes"]}: joining {given["coordinator"]}, '
          f'waiting at most {_FLAGS.join_timeout} s', flush=True)
    with RollCall(workdir, str(given['process_id']), given['num_processes'], _FLAGS.join_timeout):
        _join(given['coordinator'], given['num_processes'], given['process_id'])


def _from_environment(workdir) -> None:
    try:
        with RollCall(workdir, socket.gethostname(), None, _FLAGS.join_timeout):
            _join()
    except ValueError as error:
        # JAX's way to say that it recognises no cluster: this process is alone.
        if 'coordinator_address should be defined' not in str(error):
            raise InputError(f'the environment describes several processes incompletely: {error}\n'
                             'give --coordinator, --num_processes and --process_id') from None
    except RuntimeError as error:
        if 'must be called before' in str(error):
            return  # called from a program that uses its devices already, so it is alone
        raise InputError(f'joining the processes that the environment describes failed: {error}') from None


def _join(*arguments) -> None:
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    silence = _FLAGS.heartbeat_timeout
    # The runtime's own limit is longer, so that ours can say who is missing.
    jax.distributed.initialize(*arguments, initialization_timeout=_FLAGS.join_timeout + 60,
                               heartbeat_timeout_seconds=silence,
                               shutdown_timeout_seconds=max(silence, 60))  # interpreters end at their own pace
    if jax.default_backend() == 'cpu':
        _without_gloo()
    meet('joined')  # connects them while they are near each other in time


def _without_gloo() -> None:
    """Gloo tells file descriptor 1 whom it is connected to, a line a group. Python's stdout moves to another."""
    try:
        if sys.stdout.fileno() != 1:
            return
    except (OSError, ValueError):  # a stream of one's own, such as a notebook's
        return
    sys.stdout.flush()
    kept = os.fdopen(os.dup(1), 'w', buffering=1, encoding=sys.stdout.encoding, errors=sys.stdout.errors)
    with open(os.devnull, 'w') as nowhere:
        os.dup2(nowhere.fileno(), 1)
    sys.stdout = kept


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(('', port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, 'strerror', None) or str(error)
            raise InputError(f'--coordinator=...:{port}: process 0 cannot listen on this port: {reason}\n'
                             'choose a free port, the same for all processes') from None


def several() -> bool:
    """Whether this run has other processes. False before `initialize`."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def meet(name: str) -> None:
    """Waits for all processes, as long as they live; alone it does nothing.

    For places that they reach at different times: a collective on CPU devices that were not yet connected with one
    another gives up after 30 seconds, and compiling alone differs by more on busy hosts.

    Args:
      name: the place, the same in all.
    """
    if several():
        multihost_utils.sync_global_devices(name)


@contextlib.contextmanager
def together(workdir: str | None = None):
    """Around the work of a run: an error of this process, or of another that this one notices, ends all.

    Alone it does nothing. With others they leave together: one that has less to do at the end waits for those that
    still write, as long as they live, where the runtime's farewell would give them some seconds. One that fails ends
    at once, without that farewell, which would wait for the others; these miss its heartbeat and end with a message
    that names it. A process whose collective fails because another one is gone waits for that message. `workdir`
    receives the traceback of an error that nobody has foreseen.
    """
    try:
        yield
        meet('the end of a run')
    except InputError as error:
        if several():
            _leave(f'error: {error}', getattr(error, 'status', 2))
        raise
    except Exception as error:
        if not several():
            raise
        if any(word in str(error).lower() for word in LOST):
            first = str(error).partition('\n')[0]
            print(f'error: process {jax.process_index()} lost contact with another process: {first}\n'
                  f'within {2 * _FLAGS.heartbeat_timeout} s the runtime names the one that ended:',
                  file=sys.stderr, flush=True)
            time.sleep(2 * _FLAGS.heartbeat_timeout)  # the runtime ends this process meanwhile
            os._exit(1)
        _leave(f'error: process {jax.process_index()}: {unforeseen(error, workdir)}', 1)


def _leave(message: str, status: int) -> None:
    sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)
    os._exit(status)
