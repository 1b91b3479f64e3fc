"""A line about long work on stderr: what, how far, how fast, how much longer."""

import sys
import time

from s4mim_jax.config import terminal

TOGETHER = 0.05  # seconds within which items count as one batch


class Progress:
    """Counts items; prints every few seconds, and nothing when the work takes less.

    On a terminal it is one line, written over.

    The rate is that of the items after the first batch, which is slow for reasons of its own: programs are compiled,
    files are opened.
    """

    def __init__(self, what: str, total: int, seconds: float = 5.0):
        self.what, self.total, self.seconds = what, total, seconds
        self.done = 0
        self.last = time.monotonic()
        self._first = None  # (time, items) of the first batch

    def count(self) -> None:
        """One more item is done."""
        self.done += 1
        now = time.monotonic()
        if self._first is None:
            self._first = now, 0
        if now - self._first[0] < TOGETHER:
            self._first = self._first[0], self.done
        if now - self.last > self.seconds:
            self.last = now
            terminal.show(f'{self.what}: {self.done}/{self.total}{self._pace(now)}', sys.stderr)
        if self.done >= self.total:
            terminal.end()

    def _pace(self, now: float) -> str:
        began, before = self._first
        if self.done == before:
            return ''
        rate = (self.done - before) / (now - began)
        return f', {rate:.{0 if rate >= 10 else 1}f}/s, {(self.total - self.done) / rate:.0f} s left'
