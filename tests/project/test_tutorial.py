"""docs/tutorial.ipynb runs from top to bottom."""

from pathlib import Path

import pytest
from fork_server import QUICK_COMPILES

NOTEBOOK = Path(__file__).resolve().parents[2] / 'docs' / 'tutorial.ipynb'


def test_it_is_committed_without_outputs():
    nbformat = pytest.importorskip('nbformat')
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get('outputs') for cell in notebook.cells)


@pytest.mark.slow
def test_it_runs(monkeypatch):
    nbclient = pytest.importorskip('nbclient')
    nbformat = pytest.importorskip('nbformat')
    pytest.importorskip('ipykernel')
    monkeypatch.setenv('MPLBACKEND', 'module://matplotlib_inline.backend_inline')
    monkeypatch.setenv('PYTHONPATH', str(NOTEBOOK.parents[1]))
    monkeypatch.setenv('XLA_FLAGS', QUICK_COMPILES)  # without the tests' eight devices
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:  # how well it learns is not the subject
        cell.source = cell.source.replace('minutes=2)', 'minutes=0.3)')
    assert 'minutes=0.3)' in str(notebook)
    nbclient.NotebookClient(notebook, timeout=900, resources={'metadata': {'path': str(NOTEBOOK.parent)}}).execute()
    pictures = [output for cell in notebook.cells for output in cell.get('outputs', [])
                if 'image/png' in output.get('data', {})]
    assert len(pictures) == 2
    last = [cell for cell in notebook.cells if cell.cell_type == 'code'][-1]
    assert len(last.outputs[-1]['text'].splitlines()) >= 3
