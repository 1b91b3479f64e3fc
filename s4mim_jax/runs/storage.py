"""Where a run folder lies, local or in an object store, and what happens when it cannot be written.

Paths are etils' `epath`, which reaches `gs://` through TensorFlow. An object store knows no append
and no rename: an object is there whole or not at all, so what is replaced through a second name on a
local disk is simply written there.
"""

import contextlib
import glob
import importlib.util
import os
import pathlib
import re
import sys

from etils import epath
from etils.epath.gpath import PosixGPath

from s4mim_jax.config.errors import InputError

CHECKPOINTS = 'checkpoints'


class StorageError(InputError):
    """A run that has begun cannot be written any more: a full disk, a folder that became read-only, a
    store that fails. The last finished checkpoint is intact. Command lines end with `status`."""

    status = 4


class LiteralPath(PosixGPath):
    """A local path with `[`, `*` or `?` in it. epath's `glob`, by which Orbax finds the parts of a checkpoint, takes
    the folder's own name for a pattern."""

    def glob(self, pattern: str):
        return map(self._new, glob.glob(os.path.join(glob.escape(os.fspath(self)), pattern)))


def locate(path) -> epath.Path:
    """`path` (a string or path-like) as a path whose methods work where it lies; touches nothing.

    Raises:
      InputError: an address such as `ftp://...` that no file system is known for.
    """
    text = os.fspath(path)
    if '://' in text:
        from s4mim_jax.data import tensorflow_setup  # noqa: F401  hides accelerators before etils brings TensorFlow
    else:
        text = os.path.expanduser(text)  # the shell leaves --workdir=~/runs as it is
        if glob.has_magic(text):
            return LiteralPath(text)
    try:
        return epath.Path(text)
    except KeyError:
        raise InputError(f'{text}: no file system is known for {text.partition("://")[0]}://\n'
                         'valid: a local folder or gs://BUCKET/FOLDER') from None


def is_remote(path) -> bool:
    return '://' in os.fspath(path)


def absolute(path) -> epath.Path:
    """An address as it is; a local path from the root, with its links and '..' as they are."""
    return locate(path if is_remote(path) else pathlib.Path(path).expanduser().absolute())


def check_served(workdir) -> None:
    """Asks a remote `workdir` for an answer, before a run depends on it.

    Raises:
      InputError: nothing here serves the address, or the store refuses.
    """
    path = locate(workdir)
    if not is_remote(path):
        return
    if os.fspath(path).startswith('gs://') and not _installed('google.cloud.storage'):
        raise InputError(f'--workdir={workdir}: checkpoints in gs:// need the package google-cloud-storage\n'
                         'pip install google-cloud-storage, or name a local folder')
    try:
        path.exists()
    except Exception as error:
        raise InputError(f'--workdir={workdir}: no answer ({reason(error)})\n'
                         'valid: a local folder, or gs://BUCKET/FOLDER that you may write') from None


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it is missing
        return False


def finished_steps(workdir) -> list[int]:
    """Steps of the finished checkpoints of a run folder, in order; [] where there is none.

    On a disk Orbax renames a finished checkpoint to its step; in a store it adds a file at the end.
    """
    folder = locate(workdir) / CHECKPOINTS
    if not folder.is_dir():
        return []
    steps = [path for path in folder.iterdir() if path.name.isdigit()]
    if os.fspath(folder).startswith('gs://'):
        steps = [path for path in steps if (path / 'commit_success.txt').exists()]
    return sorted(int(path.name) for path in steps)


@contextlib.contextmanager
def writing(path, workdir):
    """Turns a failure to write `path` inside the block into a StorageError that says how to go on."""
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError) or not is_failure(error):
            raise
        raise StorageError(_message(path, workdir, error)) from error


def _message(path, workdir, error) -> str:
    try:
        steps = finished_steps(workdir)
        kept = f'keeps step {steps[-1]}' if steps else 'holds no finished checkpoint yet'
    except Exception as second:
        kept = f'cannot be read either ({reason(second)}); its finished checkpoints stay as they are'
    return (f'{path} cannot be written ({reason(error)})\n{locate(workdir) / CHECKPOINTS} {kept}\n'
            'make room there or make it writable; the same command then goes on from that checkpoint')


def is_failure(error: Exception) -> bool:
    """Whether `error` comes from a disk or a store and not from a mistake in a program."""
    if isinstance(error, OSError):
        return True
    tensorflow = sys.modules.get('tensorflow')  # who has not imported it cannot have met its exceptions
    if tensorflow is not None and isinstance(error, tensorflow.errors.OpError):
        return True
    if type(error).__module__.startswith(('google.api_core', 'google.auth')):
        return True
    # TensorStore raises ValueError with the name of a status in front: 'RESOURCE_EXHAUSTED: Error writing ...'
    return isinstance(error, ValueError) and bool(re.match(r'[A-Z_]+: ', str(error)))


def reason(error: Exception) -> str:
    """Why an operation failed, in one line without the library's own paths."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    line = str(error).partition('\n')[0] or type(error).__name__
    found = re.search(r"([^:]+) \[os_error_code=", line) or re.search(r'; ([A-Z][a-z][^;:]+)$', line)
    return (found[1].strip() if found else line)[:200]


def replace_text(path: epath.Path, text: str) -> None:
    """Replaces a file in one go: whoever reads it finds the old text or the new one."""
    if is_remote(path):
        path.write_text(text)
        return
    temporary = path.with_name(f'.{path.name}-{os.getpid()}')
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)  # half a file on a full disk
        raise


class Lines:
    """A text file that grows by a line at a time. A line is in the file when `add` returns.

    In a store the whole text is written again for every line: a log of thousands of lines has some
    hundred kB, and a line comes every few seconds.
    """

    def __init__(self, path: epath.Path):
        self._path = path
        if is_remote(path):
            self._file, self._text = None, path.read_text() if path.exists() else ''
        else:
            self._file = path.open('a')

    def add(self, line: str) -> None:
        if self._file is None:
            self._text += line + '\n'
            self._path.write_text(self._text)
        else:
            self._file.write(line + '\n')
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
