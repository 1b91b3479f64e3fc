"""A line of progress that is written over on a terminal, and that is an ordinary line in a file or a pipe.

Whoever prints something else meanwhile prints by `say`, or calls `end` first; else it would stand behind the open line.
"""

import contextlib
import shutil
import sys
import threading
from typing import TextIO

_open: list[TextIO] = []  # streams whose last line is unfinished
_lock = threading.RLock()  # the thread that hears Ctrl-C speaks too
_ERASE = '\r\x1b[K'


def show(text: str, stream: TextIO | None = None) -> None:
    """Shows `text` in place of what was shown before; a line of its own where the stream is no terminal.

    Args:
      text: one line; a terminal gets as much of it as fits its width, because two lines cannot be written over.
      stream: default stdout.
    """
    stream = stream or sys.stdout
    if not stream.isatty():
        print(text, file=stream, flush=True)
        return
    with _lock:
        _put(stream, f'{_ERASE}{text[:width(stream) - 1]}')
        if stream not in _open:
            _open.append(stream)


def end() -> None:
    """Finishes lines that are still open: they stay, and what comes next begins a new one."""
    with _lock:
        while _open:
            _put(_open.pop(), '\n')


def say(text: str, stream: TextIO | None = None) -> None:
    """Prints lines that stay. An open line of progress gives way to them."""
    stream = stream or sys.stdout
    with _lock:
        while _open:
            _put(_open.pop(), _ERASE)
        print(text, file=stream, flush=True)


def width(stream: TextIO) -> int | None:
    """Columns of a terminal, None for anything else."""
    return shutil.get_terminal_size((100, 24)).columns if stream.isatty() else None


def _put(stream: TextIO, text: str) -> None:
    with contextlib.suppress(ValueError, OSError):  # closed, or a pipe that nobody reads any more
        stream.write(text)
        stream.flush()
