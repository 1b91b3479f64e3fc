"""A line about long work on stderr: what, how far, how fast, how much longer."""

import sys
import time


class Progress:
    """Counts items; prints every few seconds, and nothing when the work takes less."""

    def __init__(self, what: str, total: int, seconds: float = 5.0):
        self.what, self.total, self.seconds = what, total, seconds
        self.done = 0
        self.start = self.last = time.monotonic()

    def count(self) -> None:
        """One more item is done."""
        self.done += 1
        now = time.monotonic()
        if now - self.last > self.seconds:
            self.last = now
            rate = self.done / (now - self.start)
            print(f'{self.what}: {self.done}/{self.total}, {rate:.0f}/s, '
                  f'{(self.total - self.done) / rate:.0f} s left', file=sys.stderr, flush=True)
