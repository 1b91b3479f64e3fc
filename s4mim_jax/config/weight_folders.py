"""Who reads a folder that `model.pretrained` names.

The training core stands below the rooms that know what a run folder is. It asks `read`, and the face of the package
says, before anything else is imported, what that is.
"""

from collections.abc import Callable

_READERS: list[Callable] = []


def read_with(reader: Callable) -> None:
    """From now on `read` is `reader`."""
    _READERS[:] = [reader]


def read(source: str, *arguments, **options) -> dict:
    """Variables {'params', 'batch_stats'} of the network in a folder; see `runs.fine_tune.run_variables`."""
    return _READERS[0](source, *arguments, **options)
