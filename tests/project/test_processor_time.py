"""The table of the tests' processor time."""

import os
import subprocess
import sys
from pathlib import Path

import processor_time

BUSY = '''
import subprocess, sys
import pytest

@pytest.fixture
def busy():
    subprocess.run([sys.executable, '-c', 'sum(range(2 * 10**7))'], check=True)

def test_of_a_child(busy):
    pass

def test_of_nothing():
    pass
'''


def test_folders_and_files_add_up():
    lines = processor_time.table({'tests/a/test_x.py::one': 60.0, 'tests/a/test_x.py::two[1/2]': 30.0,
                                  'tests/a/test_y.py::one': 20.0, 'tests/b/test_z.py::one': 10.0})
    assert lines[0] == '2.0 minutes of 4 tests'
    assert [line.split() for line in lines[1:3]] == [['110', 's', 'tests/a'], ['10', 's', 'tests/b']]
    assert [line.split()[-1] for line in lines[4:]] == ['tests/a/test_x.py', 'tests/a/test_y.py', 'tests/b/test_z.py']


def test_children_and_fixtures_count(tmp_path):
    """In workers too, whose reports come to the process that prints."""
    (tmp_path / 'test_busy.py').write_text(BUSY)
    (tmp_path / 'conftest.py').write_text(
        'import processor_time\nfrom processor_time import *\nprocessor_time.LONG = 0.05')
    done = subprocess.run([sys.executable, '-m', 'pytest', '-q', '-n', '1', '-p', 'no:cacheprovider', str(tmp_path)],
                          cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
                          env=os.environ | {'PYTHONPATH': str(Path(processor_time.__file__).parent)})
    assert done.returncode == 0 and 'processor time' in done.stdout and 'of 2 tests' in done.stdout, done.stdout
