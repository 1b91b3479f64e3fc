"""What the quickstart refuses. tests/project/test_installed.py runs it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize('arguments', [['--steps=0'], ['stray'], ['--config=configs/shapes.py']])
def test_quickstart_refuses_what_it_does_not_take(tmp_path, arguments):
    done = subprocess.run([sys.executable, '-m', 's4mim_jax.quickstart', f'--output={tmp_path / "out"}', *arguments],
                          cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2 and done.stderr.startswith('error: ') and not (tmp_path / 'out').exists()
