"""A line that counts the seconds of something that takes long and cannot tell how far it is."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

from s4mim_jax.config import terminal

TICK = 1.0  # seconds between counts on a terminal, where the line is written over
LINE = 30.0  # and between lines elsewhere: a log shall show that something goes on, not be filled


@contextlib.contextmanager
def counting(text: str, *, stream: TextIO | None = None, quiet: float = 0.0, tick: float = TICK,
             line: float = LINE) -> Iterator[None]:
    """Says `text ...` and counts the seconds until the block ends.

    A thread counts, so it goes on while a compiler works that gives no sign.

    Args:
      text: what is being done. stream: default stdout.
      quiet: seconds before anything is said; what ends earlier says nothing.
      tick, line: seconds between counts, on a terminal and elsewhere.
    """
    stream = stream or sys.stdout
    terminal.end()
    in_place, began, done = stream.isatty(), time.monotonic(), threading.Event()

    def say(words, end='\n'):
        with contextlib.suppress(ValueError, OSError):  # closed, or a pipe that nobody reads any more
            print(words, end=end, file=stream, flush=True)

    def count():
        if quiet:
            if done.wait(quiet):
                return
            say(f'{text} ...', '' if in_place else '\n')
        while not done.wait(tick if in_place else line):
            seconds = round(time.monotonic() - began)
            say(f'\r{text} ... {seconds} s', '') if in_place else say(f'{text}: {seconds} s so far')

    if not quiet:
        say(f'{text} ...', '' if in_place else '\n')
    thread = threading.Thread(target=count, daemon=True, name='counting')
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        if in_place and (not quiet or time.monotonic() - began >= quiet):
            say('')
