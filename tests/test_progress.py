"""The line about long work: what the first batch takes says nothing of the rest."""

import pytest

from s4mim_jax.data import progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])
    return now


def counted(work, count):
    for _ in range(count):
        work.count()


def test_compiling_is_no_part_of_the_rate(clock, capsys):
    work = progress.Progress('evaluated', 100)
    clock[0] += 60  # the first batch compiles
    counted(work, 4)
    assert capsys.readouterr().err == 'evaluated: 1/100\n'  # and no guess
    for _ in range(6):
        clock[0] += 1
        counted(work, 4)
    assert capsys.readouterr().err == 'evaluated: 25/100, 3.5/s, 21 s left\n'
    clock[0] += 6
    counted(work, 60)
    assert capsys.readouterr().err == 'evaluated: 29/100, 2.1/s, 34 s left\n'


def test_quick_items_have_a_rate(clock, capsys):
    work = progress.Progress('read', 2000)
    for _ in range(1000):
        clock[0] += 0.01
        work.count()
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith('read: 50') and first.endswith('/2000, 99/s, 15 s left')


def test_short_work_says_nothing(clock, capsys):
    work = progress.Progress('read', 10)
    for _ in range(10):
        clock[0] += 0.4
        work.count()
    assert not capsys.readouterr().err
