"""Host batches onto the devices, two ahead of the step."""

import collections
from collections.abc import Iterator

from s4mim_jax.parallel import put_batch

AHEAD = 2


def device_batches(batches: Iterator[dict], mesh) -> Iterator[dict]:
    """Yields global arrays spread over the mesh; the copy of the next ones is already under way.

    Args:
      batches: this process's rows of every batch (numpy).
      mesh: where they go.
    """
    ready = collections.deque()
    for batch in batches:
        ready.append(put_batch(batch, mesh))
        if len(ready) > AHEAD:
            yield ready.popleft()
    yield from ready
