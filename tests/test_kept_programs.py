"""The tests' own store of compiled programs stays within its limit and apart for other processors."""

import os

import conftest


def test_the_oldest_programs_go_first(tmp_path):
    for age, name in enumerate(['new', 'middle', 'old']):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    conftest.trim(tmp_path, 250)
    assert {path.name for path in tmp_path.iterdir()} == {'new', 'middle'}
    conftest.trim(tmp_path, 250)
    assert len(list(tmp_path.iterdir())) == 2


def test_workers_and_children_find_the_programs(monkeypatch):
    assert os.environ['JAX_COMPILATION_CACHE_DIR'] and 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS' in os.environ
    assert conftest.processor() and conftest.PROGRAMS.parent.name == '.pytest_cache'
