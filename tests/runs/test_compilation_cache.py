"""Compiled programs are kept beside the run folder, and a second start compiles nothing that the first has."""

import json
import os
import sys
from pathlib import Path

import jax
import pytest
import tiny_run
from fork_server import QUICK_COMPILES

from s4mim_jax.config import command_line

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'benchmarks'))
import start  # noqa: E402

SETTINGS = ('jax_compilation_cache_dir', 'jax_persistent_cache_min_compile_time_secs')
TINY = ['--config.total_steps=400', '--config.log.every=1', '--config.log.images=0', '--config.model.width=4',
        '--config.model.decoder_width=4', '--config.model.low_level_width=2', '--config.data.name=folder',
        '--config.data.split=all', '--config.data.crop=(32, 32)', '--config.batch.labeled=2', '--config.eval.batch=2']


@pytest.fixture
def settings():
    """Whatever a test sets, the others find as it was."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    yield lambda: jax.config.jax_compilation_cache_dir
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_folder_is_beside_the_run_folder(settings, monkeypatch, tmp_path):
    monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR', raising=False)
    monkeypatch.chdir(tmp_path)
    for workdir, folder in (('/a/runs/one', '/a/runs/.jax_cache'), ('one', f'{tmp_path}/.jax_cache'),
                            ('runs/one/', f'{tmp_path}/runs/.jax_cache'),
                            ('gs://bucket/runs/one', 'gs://bucket/runs/.jax_cache'),
                            ('gs://bucket/one/', 'gs://bucket/.jax_cache')):
        command_line.compilation_cache(workdir)
        assert settings() == folder


def test_the_environment_decides_before_the_run_folder(settings, monkeypatch, tmp_path):
    monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', str(tmp_path))
    jax.config.update('jax_compilation_cache_dir', str(tmp_path))  # as JAX reads it at its import
    command_line.compilation_cache('/elsewhere/run')
    assert settings() == str(tmp_path)


def test_what_was_until_the_first_step_is_told_apart():
    """benchmarks/start.py: events after the line of the first step (saving, here) are not the start's."""
    marks = {'compiling': 15.0, 'compiled': 40.0, 'step ': 42.0}
    seen = [(12.0, start.IMPORTED, 0.0), (13.0, start.REQUEST, 0.0), (14.0, start.BACKEND, 1.5),
            (16.0, start.TRACE, 2.0), (17.0, start.LOWER, 0.5), (18.0, start.REQUEST, 0.0),
            (19.0, start.HIT, 0.0), (39.0, start.BACKEND, 3.0),
            (43.0, start.REQUEST, 0.0), (44.0, start.BACKEND, 9.0)]
    assert start.summary(10.0, marks, seen) == {
        'first_step': 32.0, 'imports': 2.0, 'before_step': 3.0, 'step_program': 25.0, 'tracing': 2.5, 'backend': 4.5,
        'programs': 2, 'fetched': 1, 'compiled': 1}


@pytest.mark.slow
def test_a_second_start_compiles_nothing(tmp_path):
    """In another folder beside it needs the same programs; after a stop, the step's program and the restore's."""
    data = tiny_run.dataset(tmp_path / 'data', sizes=((40, 48),) * 3)
    environment = {name: value for name, value in os.environ.items() if name != 'JAX_COMPILATION_CACHE_DIR'}
    environment |= {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': QUICK_COMPILES}
    flags = [f'--config={ROOT}/configs/shapes.py:supervised', f'--config.data.dir={data}', *TINY]
    programs = lambda: {path.name for path in (tmp_path / 'runs' / '.jax_cache').glob('*-cache')}
    begin = lambda run: start.start([*flags, f'--workdir={tmp_path}/runs/{run}'], tmp_path / 'events.json', environment)

    first = begin('one')
    kept = programs()
    assert first['fetched'] == 0 and first['compiled'] > 1 and len(kept) >= first['compiled']
    beside = begin('two')
    assert (beside['programs'], beside['compiled']) == (first['programs'], 0)
    assert programs() == kept
    last = lambda: json.loads((tmp_path / 'runs' / 'one' / 'metrics.jsonl').read_text().splitlines()[-1])['step']
    stopped = last()
    resumed = begin('one')
    assert last() > stopped > 0
    after = programs()
    resumed_again = begin('one')
    assert resumed['fetched'] > 0 and resumed_again['compiled'] == 0
    assert programs() == after
