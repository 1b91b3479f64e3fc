"""Signals become a flag that the loop reads between two steps."""

import os
import signal
import threading

import jax
import numpy as np
from jax.experimental import multihost_utils

from s4mim_jax.config import terminal

GRACE = 5.0  # seconds that a second SIGINT leaves the main thread to come back from the device


class StopRequest:
    """Context manager: the first signal sets `signal`, a second SIGINT interrupts at once.

    Python runs its handlers when the main thread comes back from the device, which may be a step of seconds away. So a
    thread that the system wakes says at once that the signal has arrived, and ends the process where a second SIGINT
    finds the main thread away for GRACE seconds.

    Args:
      numbers: signals to note. say: whether this process tells (of several one does).
    """

    def __init__(self, numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM), *, say: bool = True):
        self._numbers, self._say = numbers, say
        self.signal: int | None = None
        self._previous = {}
        self._over = threading.Event()

    def __enter__(self):
        self._over.clear()
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        for number in self._numbers:
            self._previous[number] = signal.signal(number, self._note)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return self

    def _note(self, number, frame):
        del frame
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def _listen(self):
        heard = 0
        while number := os.read(self._read, 1)[0]:
            if number not in self._numbers:
                continue
            heard += 1
            if heard == 1 and self._say:
                terminal.say('stopping after this step; the state is saved then. Ctrl-C again ends at once')
            elif heard > 1 and number == signal.SIGINT and not self._over.wait(GRACE):
                os._exit(128 + signal.SIGINT)

    def __exit__(self, *error):
        self._over.set()
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        os.write(self._write, b'\0')
        self._listener.join()
        os.close(self._read)
        os.close(self._write)


def agreed_signal(stop: StopRequest, completed: int, meeting: bool) -> int | None:
    """The signal to obey after a step, the same in every process, because saving takes all of them.

    Several processes: a SIGTERM to any one goes to JAX's preemption service, which finds the next step
    that all can stop at; a SIGINT is obeyed where all ask for it (`meeting`: logging, evaluating, saving).
    """
    if jax.process_count() == 1:
        return stop.signal
    if multihost_utils.reached_preemption_sync_point(completed):
        return signal.SIGTERM
    if not meeting:
        return None
    return int(np.max(multihost_utils.process_allgather(np.int32(stop.signal or 0)))) or None
