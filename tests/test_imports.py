"""What importing brings: the training core stands without TensorFlow, Orbax and clu."""

import ast
import graphlib
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
    assert outside == {'runs/checkpoints.py', 'runs/monitoring.py'}


def imported(module: str, tree: ast.AST, modules: set[str]) -> set[str]:
    """Modules of the package that a module imports, also inside its functions; a package's name stands for its face."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{module}: names its imports in full'
            inner = {f'{node.module}.{alias.name}' for alias in node.names}
            found |= inner & modules or {node.module}
    return found & modules - {module}


def test_imports_make_no_circle():
    """Whoever opens a file can read what it stands on first. An import inside a function is an import all the same."""
    files = {'.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__'): path
             for path in (ROOT / 's4mim_jax').rglob('*.py')}
    graph = {name: imported(name, ast.parse(path.read_text()), set(files)) for name, path in files.items()}
    assert len(graph) > 100 and 's4mim_jax.terms' in graph['s4mim_jax.training.step']
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_a_circle_would_be_found():
    modules = {'p', 'p.a', 'p.b'}
    graph = {'p.a': imported('p.a', ast.parse('from p import b'), modules),
             'p.b': imported('p.b', ast.parse('def f():\n    import p.a'), modules)}
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter(graph).static_order())
