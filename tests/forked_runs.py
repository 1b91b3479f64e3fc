"""Real training processes that start quickly (fork_server.py), each a whole `python -m s4mim_jax.train`.

Their network is that of tiny_network.py unless the real one is asked for: what these tests look at is files, signals
and statuses.
"""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

from fork_server import ROOT, ForkServer


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
        own = {} if cache is None else {'JAX_COMPILATION_CACHE_DIR': str(cache)}
        self._server, self._pid = ForkServer(ROOT, tiny, **own), None

    def __enter__(self):
        self._server.__enter__()
        return self

    def start(self, arguments, log, largest_file=0, errors=None) -> int:
        """Starts `python -m s4mim_jax.train ARGUMENTS`; output is appended to `log`, what goes to stderr to `errors`
        (None = to `log` too); files are limited to `largest_file` bytes if that is not 0. Returns the process id."""
        Path(log).touch()
        self._pid = self._server.start(['-m', 's4mim_jax.train', *arguments], log, errors, largest_file)
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
        status, self._pid = self._server.wait(), None
        return status

    def __exit__(self, *error):
        self._server.__exit__(*error)
