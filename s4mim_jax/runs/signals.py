"""Signals become a flag that the loop reads between two steps."""

import signal


class StopRequest:
    """Context manager: the first signal sets `signal`, a second SIGINT interrupts at once."""

    def __init__(self, numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)):
        self._numbers = numbers
        self.signal: int | None = None
        self._previous = {}

    def __enter__(self):
        for number in self._numbers:
            self._previous[number] = signal.signal(number, self._note)
        return self

    def _note(self, number, frame):
        del frame
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number

    def __exit__(self, *error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
