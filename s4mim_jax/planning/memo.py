"""What the compiler said of a program, kept on disk.

JAX's own cache of compiled programs cannot read back one for devices that are not here.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
from pathlib import Path


class Memo:
    """JSON values of lowered programs in a folder, one file each; a folder that cannot be written keeps nothing."""

    def __init__(self, folder: Path, name: str):
        """`name`: what beside the program decides the result, such as the slice that it is compiled for."""
        self.folder = folder
        versions = [importlib.metadata.version(package) for package in ('jax', 'jaxlib', 'libtpu')]
        self.salt = ' '.join([name, *versions])

    def _path(self, lowered) -> Path:
        return self.folder / (hashlib.sha256((self.salt + lowered.as_text()).encode()).hexdigest()[:32] + '.json')

    def read(self, lowered) -> dict | None:
        """What `write` kept for the same program, or None."""
        try:
            return json.loads(self._path(lowered).read_text())
        except (OSError, ValueError):  # not there, or half written by a process that was killed
            return None

    def write(self, lowered, value: dict) -> None:
        path = self._path(lowered)
        temporary = path.with_suffix(f'.{os.getpid()}')
        with contextlib.suppress(OSError):  # not kept, the next plan compiles again
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(value))
            temporary.replace(path)
