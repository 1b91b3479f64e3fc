"""The quickstart's own command, with two updates and a tiny network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from forked_runs import QUICK_COMPILES

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_quickstart_trains_both_scores_both_and_writes_pictures(tmp_path):
    small = ['--config.model.width=4', '--config.model.unet_widths=(4,4,4)', '--config.model.pretrained=None',
             '--config.batch.labeled=2', '--config.batch.unlabeled=2', '--config.log.images=1']
    done = subprocess.run([sys.executable, '-m', 's4mim_jax.quickstart', f'--output={tmp_path / "out"}', '--steps=2',
                           '--method=maskmatch,masks.w_ratio=0.5', *small],
                          cwd=ROOT, env=os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': QUICK_COMPILES},
                          capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    out = tmp_path / 'out'
    runs = sorted(p.name for p in out.iterdir() if (p / 'run.json').exists())
    assert runs == ['maskmatch', 'supervised']  # named by the method, without its settings
    records = [json.loads((out / run / 'run.json').read_text()) for run in runs]
    assert records[0]['split'] == records[1]['split']
    scores = {run: json.loads((out / run / 'eval' / 'test.json').read_text()) for run in runs}
    assert all(0 <= s['miou'] <= 1 and s['images'] == 256 and s['step'] == 2 for s in scores.values())
    table = done.stdout[done.stdout.rindex('test split of shapes'):]
    assert all(f'{s["miou"]:.4f}' in table for s in scores.values()) and 'gain' in table
    assert len(list((out / 'predictions').glob('*_overlay.jpg'))) == 8
    page = (out / 'report' / 'index.html').read_text()
    assert 'maskmatch' in page and 'supervised' in page
    assert done.stdout.rstrip().splitlines()[-1].startswith('your own images:  python -m s4mim_jax.fit FOLDER')


@pytest.mark.parametrize('arguments', [['--steps=0'], ['stray'], ['--config=configs/shapes.py']])
def test_quickstart_refuses_what_it_does_not_take(tmp_path, arguments):
    done = subprocess.run([sys.executable, '-m', 's4mim_jax.quickstart', f'--output={tmp_path / "out"}', *arguments],
                          cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2 and done.stderr.startswith('error: ') and not (tmp_path / 'out').exists()
