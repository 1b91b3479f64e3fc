"""A folder that is there whole or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from s4mim_jax.config.errors import InputError


@contextlib.contextmanager
def new_folder(output: Path, *, replace: bool = False) -> Iterator[Path]:
    """A draft beside `output`, which takes its place at the end. An error leaves nothing behind.

    Args:
      output: not there, or empty; with `replace` it may hold something, which goes.

    Raises:
      InputError: `--output` cannot be written.
    """
    draft = output.with_name(f'.{output.name}-{os.getpid()}')
    shutil.rmtree(draft, ignore_errors=True)  # of a process of that number that was killed
    try:
        draft.mkdir(parents=True)
        yield draft
        if output.exists():
            shutil.rmtree(output) if replace else output.rmdir()
        draft.replace(output)
    except OSError as error:
        raise InputError(f'--output={output} cannot be written ({error.strerror})\n'
                         'name a folder that you may write') from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
