"""Where the time of the tests goes: processor time by folder and by file, children included, after each long run.

Processor time, because other work on a machine changes it least. Hooks of pytest; conftest.py names them.
"""

import os
from collections import Counter

import pytest

_BEGAN = pytest.StashKey[float]()
_NAME = 'processor_s'
LONG, FILES = 60, 25  # seconds from which a run is worth a table, and its rows


def _spent() -> float:
    """Seconds of this process and of the children that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item):
    item.stash[_BEGAN] = _spent()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item):
    try:
        return (yield)
    finally:
        item.user_properties.append((_NAME, _spent() - item.stash[_BEGAN]))  # a worker's report brings it along


def table(spent: dict[str, float]) -> list[str]:
    """Lines to print.

    Args:
      spent: id of a test -> its seconds, in which the fixtures are that it was the first to ask for.
    """
    folders, files = Counter(), Counter()
    for test, seconds in spent.items():
        file = test.partition('::')[0]
        files[file] += seconds
        folders[file.rpartition('/')[0]] += seconds
    rows = lambda counted: [f'{seconds:8.0f} s  {name}' for name, seconds in counted]
    return [f'{sum(folders.values()) / 60:.1f} minutes of {len(spent)} tests', *rows(folders.most_common()),
            'the longest files', *rows(files.most_common(FILES))]


def pytest_terminal_summary(terminalreporter):
    spent = {report.nodeid: dict(report.user_properties)[_NAME] for reports in terminalreporter.stats.values()
             for report in reports
             if getattr(report, 'when', '') == 'teardown' and _NAME in dict(report.user_properties)}
    if sum(spent.values()) > LONG:
        terminalreporter.section('processor time')
        terminalreporter.write_line('\n'.join(table(spent)))
