"""What importing brings: the training core stands without TensorFlow, Orbax and clu."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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


# Rooms from below: each may import itself, the ground and what stands beside it here. The ground is the part of
# `config` that everybody may stand on; the rest of it reads the terms' own keys and belongs to the command lines.
GROUND = ('errors', 'labels', 'encoder_sizes', 'precision', 'overrides', 'key', 'extensions', 'new_folder',
          'terminal', 'weight_folders')
ALLOWED = {
    'ground': '',
    'parallel': '',
    'onnx_graph': '',
    'models': 'parallel',
    'pretrained': 'models',
    'views': 'models parallel',
    'pseudo_labels': 'models parallel',
    'terms': 'models parallel views pseudo_labels',
    'training': 'models parallel views pseudo_labels terms pretrained',
    'data': 'views config',
    'evaluation': 'models parallel views config',
    'config': 'terms views data',
    'planning': 'config data models parallel pseudo_labels training',
    'runs': 'config data evaluation models parallel planning pretrained pseudo_labels terms training views',
    'prediction': 'config data evaluation models onnx_graph pretrained runs views',
    'reporting': 'config data prediction runs',
    'fitting': 'config data parallel planning prediction pretrained reporting runs training',
}
UPWARDS = {  # single lines that look up, and why
    ('s4mim_jax.config.methods', 's4mim_jax.planning.hardware'): 'hardware=24gb sizes a config, when asked for',
    ('s4mim_jax.data.check.__main__', 's4mim_jax.training.passes'): 'a command line that lives with what it checks',
    ('s4mim_jax.fitting.outcome', 's4mim_jax.evaluate'): 'fit is the commands one after the other',
    ('s4mim_jax.fitting.outcome', 's4mim_jax.predict'): 'fit is the commands one after the other',
    ('s4mim_jax.pretrained.description', 's4mim_jax.config'): 'a file of weights carries a config.model',
}


def room(module: str) -> str | None:
    """None for the command lines and the face of the package, which may import everything."""
    parts = module.split('.')
    if parts[1:2] == ['config'] and (parts[2:] or [''])[0] in GROUND:
        return 'ground'
    return parts[1] if parts[1:] and parts[1] in ALLOWED else None


def test_imports_run_downwards():
    files = {'.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__'): path
             for path in (ROOT / 's4mim_jax').rglob('*.py')}
    found, wrong = set(), []
    for module, path in files.items():
        here = room(module)
        for other in imported(module, ast.parse(path.read_text()), set(files)):
            there = room(other)
            found.add((module, other))
            if here and there not in (here, 'ground', *ALLOWED[here].split()) and (module, other) not in UPWARDS:
                wrong.append(f'{module} imports {other}')
    assert not wrong
    assert set(UPWARDS) <= found, 'an exception that nobody needs any more'
    folders = {p.name for p in (ROOT / 's4mim_jax').iterdir() if (p / '__init__.py').is_file()}
    assert folders == set(ALLOWED) - {'ground'}


def test_imports_define_no_flags():
    """A command's flags are its own: one that wants a value would be asked for by every other command of the process.

    `train` alone is called by importing it too, and none of its flags must be given.
    """
    def at_import(tree):
        of_module = [node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.If)]
        return any(isinstance(node, ast.Attribute) and node.attr.startswith(('DEFINE_', 'mark_flag'))
                   for statement in of_module for node in ast.walk(statement))

    package = ROOT / 's4mim_jax'
    defining = {path.relative_to(package).as_posix() for path in package.rglob('*.py')
                if at_import(ast.parse(path.read_text()))}
    assert defining == {'train.py'} and 'required' not in (package / 'train.py').read_text()
