"""The one exception that means 'the user can mend this', and what is said of all others."""

import contextlib
import os
import shlex
import sys
import tempfile
import time
import traceback


class InputError(ValueError):
    """A bad input: usage, config, data or file.

    The message has one to three lines and names the file or key, the offending value and what
    would be valid. Command lines print it without a traceback and end with status 2.
    """


def unforeseen(error: Exception, workdir: str | None = None) -> str:
    """Keeps the traceback of an error that is none of ours in a file, and says in one line what happened and where.

    Args:
      error: as it was caught. workdir: the run folder, where the file goes if that is a folder on a disk; else the
        system's folder for temporary files.
    """
    text = ''.join(traceback.format_exception(error))
    name = f'error-{time.strftime("%Y%m%d-%H%M%S")}-{os.getpid()}.log'
    for folder in (workdir, tempfile.gettempdir()):
        if folder and '://' not in folder and os.path.isdir(folder):
            path = os.path.join(os.path.abspath(folder), name)
            with contextlib.suppress(OSError):
                with open(path, 'w', encoding='utf-8', errors='backslashreplace') as file:
                    file.write(f'{shlex.join(sys.argv)}\n\n{text}')
                break
    else:
        path = 'nowhere: no file could be written'
    message = ' '.join(str(error).split())
    if len(message) > 300:
        message = f'{message[:300]} ...'
    return f'{type(error).__name__}: {message} (unforeseen; the traceback is in {path})'
