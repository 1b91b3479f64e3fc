"""benchmarks/gpu.sh: its parts end in time, one that fails does not take the others along, and all run for real."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_INHERITED = ('SMOKE', 'PARTS', 'WHEELS', 'PYTHON', 'XLA_FLAGS')


def gpu(*arguments, **environment):
    inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    return subprocess.run([ROOT / 'benchmarks' / 'gpu.sh', *arguments], env=inherited | environment,
                          capture_output=True, text=True, check=False)


PARTS = ['parity', 'step_resnet50', 'throughput', 'methods', 'step_resnet101', 'convolutions', 'step_others']


def test_the_parts_of_the_gpu_suite_end_within_nine_minutes(tmp_path):
    done = gpu('--dry-run', str(tmp_path / 'out'))
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r'^(\w+), (\d+) s: ', done.stdout, re.M))
    assert list(found) == PARTS
    assert sum(map(int, found.values())) + 3 < 540  # and the grace of the last one
    assert not (tmp_path / 'out').exists()
    for line in done.stdout.splitlines():
        file = re.search(r'benchmarks/\w+\.py', line).group()
        assert (ROOT / file).is_file() and '--output=' in line and 'LEFT' not in line


@pytest.mark.parametrize('arguments,environment,message', [
    (['--dryrun'], {}, 'valid are --dry-run'), (['a', 'b'], {}, 'one folder only'),
    ([], {'PARTS': 'parity nonsense'}, 'unknown part nonsense'), ([], {'PYTHON': '/bin/false'}, 'cannot use JAX')])
def test_gpu_suite_refuses_what_it_does_not_know(tmp_path, arguments, environment, message):
    done = gpu(*arguments, **{'PARTS': 'parity'} | environment)
    assert done.returncode == 2 and message in done.stderr and len(done.stderr.splitlines()) <= 3


def stand_in(folder, script):
    """A command in the place of Python: claims a GPU, leaves wheels to the real one, runs `script` otherwise."""
    path = folder / 'python'
    path.write_text('#!/bin/bash\ncase $1 in\n  -c) echo ${PLATFORM:-gpu}; exit 0;;\n'
                    f'  -) exec {sys.executable} "$@";;\nesac\n'
                    f'for last; do output=${{last#--output=}}; done\n{script}\n')
    path.chmod(0o755)
    return str(path)


def test_gpu_suite_goes_on_after_a_part_that_fails_and_says_so(tmp_path):
    python = stand_in(tmp_path, 'case $1 in */throughput.py|*/parity.py) exit 3;; esac\necho "{}" > "$output"')
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'parity.json').write_text('of an earlier run')
    done = gpu(str(out), PYTHON=python)
    assert done.returncode == 1
    assert 'error: throughput: ended with status 3' in done.stderr and 'error: failed: parity throughput' in done.stderr
    assert {path.stem for path in out.iterdir()} == set(PARTS) - {'parity', 'throughput'}
    assert 'methods.json\n' in done.stdout and 'parity.json is missing' in done.stdout


def test_gpu_suite_wants_a_gpu(tmp_path):
    done = gpu(str(tmp_path), PYTHON=stand_in(tmp_path, ''), PLATFORM='cpu')
    assert done.returncode == 2 and 'no GPU' in done.stderr


def test_wheels_are_used_where_the_package_is_not_installed(tmp_path):
    wheels = tmp_path / 'wheels'
    wheels.mkdir()
    for name in ('nowhere_else-1.0', 'numpy-0.1', 'ml_collections-0.1'):
        (wheels / f'{name}-py3-none-any.whl').write_bytes(b'')
    log = tmp_path / 'paths'
    done = gpu(str(tmp_path / 'out'), WHEELS=str(wheels), PARTS='parity',
               PYTHON=stand_in(tmp_path, f'echo "$PYTHONPATH" > {log}; echo "{{}}" > "$output"'))
    assert done.returncode == 0, done.stderr
    paths = log.read_text().strip().split(':')
    assert paths[:2] == [str(ROOT), f'{wheels}/nowhere_else-1.0-py3-none-any.whl']
    assert not any('numpy-0.1' in path or 'ml_collections-0.1' in path for path in paths)


@pytest.mark.slow
def test_a_part_that_does_not_end_is_ended(tmp_path):
    done = gpu(str(tmp_path / 'out'), PARTS='step_others', PYTHON=stand_in(tmp_path, 'sleep 300'))
    assert done.returncode == 1 and re.search(r'step_others: stopped after 2\d s', done.stderr)


@pytest.mark.slow
def test_the_whole_suite_runs_at_a_tiny_size(tmp_path):
    """Every part for real, on the processor; methods.py compiles nine programs and takes most of the time."""
    done = gpu(str(tmp_path / 'out'), SMOKE='1', PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    results = {path.stem: json.loads(path.read_text()) for path in (tmp_path / 'out').glob('*.json')}
    assert set(results) == set(PARTS)
    for name in ('step_resnet50', 'step_resnet101', 'step_others'):
        assert results[name]['runs'] and not results[name]['missing']
    assert [row['method'] for row in results['parity']['methods']] == ['fixmatch']
    assert results['throughput']['images_per_s'] > 0 and np.isfinite(results['throughput']['loss'])
    assert len(results['methods']['ratios']) == 6
    for path in (tmp_path / 'out').glob('*.json'):
        assert str(tmp_path) not in path.read_text() and str(ROOT) not in path.read_text()
