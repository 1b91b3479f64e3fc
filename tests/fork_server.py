"""Commands that start quickly: each is forked from a process that has imported everything and used no device.

A command is a whole `python -m s4mim_jax.X ...` or `python FILE.py ...`: flags, compiled programs from the shared
cache, files, exit status. It can be killed like any other; what is shared are the ten seconds of imports, so that a
test can afford dozens. Run as a script this file is that process.
"""

import ctypes
import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import traceback
from pathlib import Path

QUICK_COMPILES = '--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true'
TINY = 'tiny'  # the network of tiny_network.py in place of the real ones (wants model.output_stride=8)
ROOT = Path(__file__).resolve().parents[1]


class ForkServer:
    """Forks commands, one at a time. Leaving the context ends what still runs.

    Args:
      folder: in which they run. tiny: whether their network is that of tiny_network.py. environment: more variables.
    """

    def __init__(self, folder: Path, tiny: bool = False, **environment: str):
        paths = os.pathsep.join(filter(None, (str(ROOT / 'tests'), str(ROOT), os.environ.get('PYTHONPATH'))))
        self._environment = os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': QUICK_COMPILES, 'PYTHONPATH': paths,
                                          'PYTHONUNBUFFERED': '1', 'TF_CPP_MIN_LOG_LEVEL': '3'} | environment
        self._folder, self._options = folder, [TINY][:tiny]

    def __enter__(self):
        self._server = subprocess.Popen([sys.executable, '-W', 'ignore', __file__, *self._options], cwd=self._folder,
                                        env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._server.stdout.readline() == 'ready\n'
        return self

    def start(self, words, log: Path, errors: Path | None = None, largest_file: int = 0) -> int:
        """Starts a command and returns its process id.

        Args:
          words: those after `python`. log: what it prints is appended here, errors too where `errors` names no other
          file. largest_file: bytes that a file may have, 0 = any.
        """
        order = {'words': list(words), 'log': str(log), 'errors': str(errors or log), 'largest_file': largest_file}
        self._server.stdin.write(json.dumps(order) + '\n')
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def wait(self) -> int:
        """Exit status of the command, -9 when it was killed."""
        return int(self._server.stdout.readline())

    def __exit__(self, *error):
        self._server.kill()  # a command that still runs ends with its parent
        self._server.wait()


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _command(order: dict) -> int:
    """Runs in the forked process; its exit status."""
    for name, number in (('log', 1), ('errors', 2)):
        os.dup2(os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    if order['largest_file']:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order['largest_file'],) * 2)
    words = order['words']
    sys.argv, sys.path[0] = words[words[0] == '-m':], ''  # as Python itself would have it
    try:
        if words[0] == '-m':
            runpy.run_module(words[1], run_name='__main__', alter_sys=True)
        else:
            runpy.run_path(words[0], run_name='__main__')
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except BaseException:  # noqa: B902
        traceback.print_exc()
        return 1
    return 0


def serve(tiny: bool) -> None:
    """Reads orders, a line of JSON each; prints the process id, then the exit status."""
    import orbax.checkpoint  # noqa: F401
    from clu import metric_writers  # noqa: F401

    import s4mim_jax.prediction.loading
    import s4mim_jax.reporting.page
    import s4mim_jax.runs.loop  # noqa: F401
    if tiny:
        import tiny_network

        from s4mim_jax import models
        models.build = tiny_network.build
    print('ready', flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            status = 1
            try:
                _end_with_parent()
                status = _command(json.loads(line))
            finally:
                sys.stdout.flush(), sys.stderr.flush()
                os._exit(status)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == '__main__':
    _end_with_parent()
    serve(TINY in sys.argv[1:])
