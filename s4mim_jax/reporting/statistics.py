"""Means over seeds. A standard deviation is that of a sample (n - 1), and there is none for one value."""

import statistics
from collections.abc import Iterable
from typing import NamedTuple


class Summary(NamedTuple):
    """Mean, standard deviation (None for a single value) and how many values there were."""

    mean: float
    sd: float | None
    count: int


class Band(NamedTuple):
    """A curve over seeds: the steps that all of them have, their mean, least and largest value."""

    steps: list[int]
    mean: list[float]
    low: list[float]
    high: list[float]


def summarize(values: Iterable[float | None]) -> Summary | None:
    """Summary of the values that are not None; None when there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Summary(statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else None, len(known))


def differences(values: dict, reference: dict) -> list[float]:
    """values - reference for every key (seed) that has a value in both."""
    pairs = ((values[key], reference.get(key)) for key in values)
    return [value - other for value, other in pairs if value is not None and other is not None]


def band(curves: list[dict[int, float]]) -> Band:
    """Step -> value of every seed, to one band over the steps that all have.

    A mean over whoever has got that far would jump where a seed ends.
    """
    common = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    rows = [[curve[step] for curve in curves] for step in common]
    return Band(common, [statistics.fmean(row) for row in rows], [min(row) for row in rows], [max(row) for row in rows])
