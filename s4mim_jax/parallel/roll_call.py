"""Who has come: so that a start that waits in vain can name the process that is missing."""

import os
import socket
import sys
import threading
import time

from etils import epath

FOLDER = 'joining'
PATIENCE = 5.0  # seconds before a note is left: most starts need none, and a process alone leaves none
FAILED = 1  # exit status of a process that waited in vain


class RollCall:
    """Context manager around joining the other processes.

    JAX's runtime ends a process that waits too long, but cannot say for whom it waited. All processes
    share the run folder, so each leaves a note in it while it waits; after `timeout` seconds the first to
    give up says whose note is missing and ends its process with status 1.

    Args:
      folder: of the run; where nothing can be written the message names nobody.
      name: of this process: its number, or its host where only the runtime will know the number.
      count: how many processes are awaited, None if only the runtime knows.
    """

    def __init__(self, folder, name: str, count: int | None, timeout: int):
        self._notes = epath.Path(folder) / FOLDER
        self._name, self._count, self._timeout = name, count, timeout
        self._noted = False
        self._joined = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._watcher.start()
        return self

    def __exit__(self, *error):
        self._joined.set()
        self._watcher.join()
        if self._noted:
            try:
                (self._notes / self._name).unlink(missing_ok=True)
                self._notes.rmdir()  # the last one out; fails while others wait
            except OSError:
                pass

    def _watch(self):
        patience = min(PATIENCE, self._timeout / 2)
        if self._joined.wait(patience):
            return
        try:
            self._notes.mkdir(parents=True, exist_ok=True)
            (self._notes / self._name).write_text(f'{time.time()} {socket.gethostname()}')
            self._noted = True
        except OSError:
            pass
        if self._joined.wait(self._timeout - patience):
            return
        # Not an exception: the main thread is inside the runtime, which would end the process its own way.
        print(f'error: {self._complaint(self._present())}', file=sys.stderr, flush=True)
        os._exit(FAILED)

    def _present(self) -> list[str]:
        """Names of the processes that have come for this start, not for an earlier one."""
        try:
            notes = {note.name: float(note.read_text().split()[0]) for note in self._notes.iterdir()}
        except (OSError, ValueError, IndexError):
            return []
        return sorted(name for name, begun in notes.items() if begun > time.time() - 2 * self._timeout)

    def _complaint(self, present: list[str]) -> str:
        waited = f'process {self._name} waited {self._timeout} s for the others in vain'
        if not present:
            return f'{waited}; {self._notes} cannot say who has come'
        if self._count is not None:
            missing = [str(i) for i in range(self._count) if str(i) not in present]
            if missing:
                return (f'{waited}: missing {", ".join(missing)} of {self._count} '
                        f'(--process_id; have come: {", ".join(present)})')
            return (f'{waited}: all {self._count} have come, but not to each other\n'
                    'check that --coordinator=HOST:PORT is the host of process 0, reachable and a free port')
        return f'{waited}; have come: {", ".join(present)}'
