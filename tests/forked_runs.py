"""Real training processes that start quickly: forked from one that has imported everything and used no device.

A start costs what a run costs and not the ten seconds of imports, so that a test can afford dozens. The
forked process is a whole `python -m s4mim_jax.train`: flags, compiled programs from the shared cache, files,
exit status. It can be killed like any other.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SERVER = '''
import ctypes, json, os, resource, signal, sys
end_with_parent = lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL)
end_with_parent()
import orbax.checkpoint, s4mim_jax.data.tensorflow_setup
from clu import metric_writers
from s4mim_jax import train
from s4mim_jax.config import command_line
import s4mim_jax.runs.loop

print('ready', flush=True)
for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if not pid:
        end_with_parent()
        log = os.open(order['log'], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1), os.dup2(log, 2)
        if order['largest_file']:
            resource.setrlimit(resource.RLIMIT_FSIZE, (order['largest_file'],) * 2)
        sys.argv = ['train', *order['arguments']]
        status = 1
        try:
            command_line.run(train.main)
        except SystemExit as leave:
            status = leave.code or 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(status)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
'''


class Starter:
    """Starts runs, one at a time. Leaving the context ends what still runs."""

    def __init__(self, cache):
        self._cache, self._pid = cache, None

    def __enter__(self):
        environment = os.environ | {'JAX_PLATFORMS': 'cpu', 'JAX_COMPILATION_CACHE_DIR': str(self._cache),
                                    'XLA_FLAGS': '--xla_backend_optimization_level=0', 'PYTHONUNBUFFERED': '1',
                                    'TF_CPP_MIN_LOG_LEVEL': '3'}
        self._server = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', SERVER], cwd=ROOT, env=environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._server.stdout.readline() == 'ready\n'
        return self

    def start(self, arguments, log, largest_file=0) -> int:
        """Starts `python -m s4mim_jax.train ARGUMENTS`; output is appended to `log`; files are limited to
        `largest_file` bytes if that is not 0. Returns the process id."""
        Path(log).touch()
        order = {'arguments': list(arguments), 'log': str(log), 'largest_file': largest_file}
        self._server.stdin.write(json.dumps(order) + '\n')
        self._server.stdin.flush()
        self._pid = int(self._server.stdout.readline())
        return self._pid

    @property
    def running(self) -> bool:
        """Whether a run was started and not waited for."""
        return self._pid is not None

    def kill(self) -> None:
        """SIGKILL to the run. It stays a zombie until `wait`, so its id cannot be another's."""
        os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        """Exit status of the run, -9 when it was killed."""
        status = int(self._server.stdout.readline())
        self._pid = None
        return status

    def __exit__(self, *error):
        self._server.kill()  # a run that still goes ends with its parent
        self._server.wait()
