"""What importing brings: the training core stands without TensorFlow, Orbax and clu."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def loaded(statement: str) -> set[str]:
    code = f'import sys; {statement}; print(" ".join({{m.partition(".")[0] for m in sys.modules}}))'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True,
                          timeout=300)
    return set(done.stdout.split())


@pytest.mark.parametrize('module', ['s4mim_jax.training', 's4mim_jax.models', 's4mim_jax.terms', 's4mim_jax.views',
                                    's4mim_jax.pseudo_labels', 's4mim_jax.evaluation', 's4mim_jax.pretrained'])
def test_core_needs_neither_tensorflow_nor_orbax_nor_clu(module):
    modules = loaded(f'import {module}')
    assert 'jax' in modules and not modules & {'tensorflow', 'orbax', 'clu', 'tensorflow_datasets'}


def test_tensorflow_is_imported_under_data_only():
    """clu and TFDS included: they bring it. monitoring.py imports clu inside a method."""
    found = set()
    for path in (ROOT / 's4mim_jax').rglob('*.py'):
        for line in path.read_text().splitlines():
            if line.strip().startswith(('import tensorflow', 'from tensorflow', 'import clu', 'from clu',
                                        'import orbax', 'from orbax')):
                found.add(path.relative_to(ROOT / 's4mim_jax').as_posix())
    outside = {name for name in found if not name.startswith('data/')}
    assert outside == {'training/checkpoints.py', 'training/monitoring.py'}
