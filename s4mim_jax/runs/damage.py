"""Checkpoints that were copied in part: what they lack, in words."""

import contextlib
import json
import os
import re

from s4mim_jax.config.errors import InputError
from s4mim_jax.runs import storage

# Files without which an item is of no use; a name with * stands for at least one.
_PARTS = {'weights': ('_METADATA', 'manifest.ocdbt', 'd/*'), 'optimizer': ('_METADATA', 'manifest.ocdbt', 'd/*'),
          'loop': ('metadata',)}


def require_whole(workdir, step: int, items=tuple(_PARTS)) -> None:
    """Says what a checkpoint lacks that was copied in part.

    Raises:
      InputError: something.
    """
    folder = storage.absolute(workdir) / storage.CHECKPOINTS / str(step)
    missing = []
    for item in items:
        if not (folder / item).is_dir():
            missing.append(f'{item}/')
            continue
        for part in _PARTS[item]:
            path = folder / item / part.removesuffix('/*')
            if not path.exists() or (part.endswith('/*') and not any(path.iterdir())):
                missing.append(f'{item}/{part}')
        written = [path for path in (folder / item).iterdir() if path.name.startswith('ocdbt.process_')]
        # A process all of whose arrays others hold too writes none.
        if written and not any((path / 'd').is_dir() for path in written):
            missing.append(f'{item}/{written[0].name}/d/*')
        if not written and item != 'loop':
            missing.append(f'{item}/ocdbt.process_*')
    if missing:
        raise InputError(f'{folder} is not whole: it lacks {", ".join(missing)}\n'
                         'copy the folder with everything in it (rsync -a), or name another --checkpoint')


@contextlib.contextmanager
def reading(workdir, step: int):
    """Turns what a damaged checkpoint raises into a message."""
    try:
        yield
    except Exception as error:
        chain = [error]
        while chain[-1].__cause__ or chain[-1].__context__:
            chain.append(chain[-1].__cause__ or chain[-1].__context__)
        damage = [e for e in chain if storage.is_failure(e) or isinstance(e, (KeyError, json.JSONDecodeError))]
        if isinstance(error, InputError) or not damage:
            raise
        folder = storage.absolute(workdir) / storage.CHECKPOINTS / str(step)
        files = re.findall(r'local file "([^"]*[^"/])"', ' '.join(str(e) for e in chain))
        lacking = [name for name in files if not os.path.exists(name)]
        what = (f'it lacks {lacking[0]}' if lacking else f'{files[-1]} is damaged or cut off' if files else
                storage.reason(damage[-1]))
        raise InputError(f'{folder} cannot be read: {what}\n'
                         'if it was copied, copy the folder with everything in it (rsync -a); or name another '
                         '--checkpoint') from error
