"""Processor time of several ways to do the same, taken in turns so that a busy machine slows all of them alike."""

import statistics
import time
from collections.abc import Callable


def median_seconds(ways: dict[object, Callable[[], object]], rounds: int) -> dict[object, float]:
    """Name -> median of the processor seconds of a call, over `rounds` rounds after one that is not counted."""
    seconds = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            way()
            seconds[name].append(time.process_time() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}
