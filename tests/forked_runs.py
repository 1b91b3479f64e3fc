"""Real training processes that start quickly: forked from one that has imported everything and used no device.

A start costs what a run costs and not the ten seconds of imports, so that a test can afford dozens. The
forked process is a whole `python -m s4mim_jax.train`: flags, compiled programs from the shared cache, files,
exit status. It can be killed like any other. Its network is that of tiny_network.py unless the real one is asked
for: what these tests look at is files, signals and statuses.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
QUICK_COMPILES = '--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true'

SERVER = '''
import ctypes, json, os, resource, signal, sys
end_with_parent = lambda: ctypes.CDLL(None).prctl(1, signal.SIGKILL)
end_with_parent()
import orbax.checkpoint, s4mim_jax.data.tensorflow_setup
from clu import metric_writers
from s4mim_jax import train
from s4mim_jax.config import command_line
import s4mim_jax.runs.loop

if sys.argv[1:] == ['tiny']:
    import tiny_network
    from s4mim_jax import models
    models.build = tiny_network.build
print('ready', flush=True)
for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if not pid:
        end_with_parent()
        for name, number in (('log', 1), ('errors', 2)):
            os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
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


def until(condition, log, seconds=240):
    """Waits, closely, for something that the running process does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.001)


class Starter:
    """Starts runs, one at a time. Leaving the context ends what still runs.

    Args:
      cache: folder of compiled programs, or None = the tests' own.
      tiny: whether the network is that of tiny_network.py (wants model.output_stride=8).
    """

    def __init__(self, cache=None, tiny=True):
        self._cache, self._tiny, self._pid = cache, tiny, None

    def __enter__(self):
        paths = os.pathsep.join(filter(None, (str(ROOT / 'tests'), str(ROOT), os.environ.get('PYTHONPATH'))))
        environment = os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': QUICK_COMPILES, 'PYTHONUNBUFFERED': '1',
                                    'TF_CPP_MIN_LOG_LEVEL': '3', 'PYTHONPATH': paths}
        if self._cache is not None:
            environment['JAX_COMPILATION_CACHE_DIR'] = str(self._cache)
        self._server = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', SERVER, *['tiny'][:self._tiny]],
                                        cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        assert self._server.stdout.readline() == 'ready\n'
        return self

    def start(self, arguments, log, largest_file=0, errors=None) -> int:
        """Starts `python -m s4mim_jax.train ARGUMENTS`; output is appended to `log`, what goes to stderr to `errors`
        (None = to `log` too); files are limited to `largest_file` bytes if that is not 0. Returns the process id."""
        Path(log).touch()
        order = {'arguments': list(arguments), 'log': str(log), 'errors': str(errors or log),
                 'largest_file': largest_file}
        self._server.stdin.write(json.dumps(order) + '\n')
        self._server.stdin.flush()
        self._pid = int(self._server.stdout.readline())
        return self._pid

    def run(self, arguments, folder, signal_after=None):
        """A whole run with what `subprocess.run` gives: returncode, stdout, stderr; its outputs are kept in `folder`.

        `signal_after` = (number, text): the signal is sent as soon as a line of stdout begins with the text.
        """
        number = len(list(folder.glob('*.stdout')))
        out, errors = folder / f'{number}.stdout', folder / f'{number}.stderr'
        errors.touch()
        pid = self.start(arguments, out, errors=errors)
        if signal_after:
            until(lambda: any(line.startswith(signal_after[1]) for line in out.read_text().splitlines()), errors)
            os.kill(pid, signal_after[0])
        status = self.wait()
        return SimpleNamespace(returncode=status, stdout=out.read_text(), stderr=errors.read_text())

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
