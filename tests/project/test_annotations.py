"""Shapes stand in the signatures of the functions that compute: terms, views and pseudo-labels."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / 's4mim_jax'
FILES = [path for room in ('terms', 'views', 'pseudo_labels') for path in sorted((ROOT / room).glob('*.py'))]
DIMENSION = re.compile(r'\*?[A-Za-z]\w*|\d+')


def annotations(path):
    """(function, annotation) of the public functions of a file."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith('_'):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            for annotation in (*(a.annotation for a in arguments), node.returns):
                if annotation is not None:
                    yield node.name, annotation


@pytest.mark.parametrize('path', FILES, ids=lambda path: f'{path.parent.name}/{path.stem}')
def test_arrays_have_shapes(path):
    for function, annotation in annotations(path):
        shaped = {id(inner) for node in ast.walk(annotation) if isinstance(node, ast.Subscript)
                  and isinstance(node.slice, ast.Tuple) and isinstance(node.slice.elts[-1], ast.Constant)
                  for inner in ast.walk(node)}
        for node in ast.walk(annotation):
            bare = isinstance(node, (ast.Name, ast.Attribute)) and ast.unparse(node) in ('Array', 'jax.Array')
            assert not bare or id(node) in shaped, f'{function}: {ast.unparse(annotation)} says no shape'
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert all(DIMENSION.fullmatch(word) for word in node.value.split()), f'{function}: {node.value!r}'


def test_shapes_are_said():
    found = [ast.unparse(a) for path in FILES for _, a in annotations(path) if 'Array' in ast.unparse(a)]
    assert len(found) > 60
