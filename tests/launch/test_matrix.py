"""launch/matrix.sh and its table."""

import platform
from importlib.metadata import version

import platform_table
from launch_world import ROOT, World

RESULT = '<testsuites><testsuite tests="9" failures="1" errors="1" skipped="2" time="81.6"/></testsuites>'


def test_an_unknown_pair_is_refused(tmp_path):
    World(tmp_path / 'world').refused('matrix.sh', '3.9', words=['3.9', 'oldest, 3.11, 3.12, 3.13, newest'])


def test_every_pair_has_a_file_of_exact_public_versions():
    for pair in ('oldest', '3.11', '3.12', '3.13'):
        lines = (ROOT / 'constraints' / f'{pair}.txt').read_text().splitlines()
        pins = dict(line.split('==') for line in lines if not line.startswith('#'))
        assert {'jax', 'jaxlib', 'flax', 'optax', 'numpy', 'pillow'} <= pins.keys()
        assert not any('+' in pin for pin in pins.values())


def test_a_row_replaces_its_pair_and_leaves_the_others(tmp_path):
    table, result = tmp_path / 'table.md', tmp_path / 'result.xml'
    result.write_text(RESULT)
    row = platform_table.row('3.11', result, '236/0')
    assert row[:3] == ['3.11', platform.python_version(), version('jax')] and row[-5:-1] == ['5', '2', '82', '236 / 0']
    for pair in ('3.13', 'oldest', '3.11', '3.13'):
        platform_table.write(table, [pair, *row[1:]])
    rows = [line.split(' | ')[0] for line in table.read_text().splitlines() if line.startswith('|')]
    assert rows == ['| pair', rows[1], '| oldest', '| 3.11', '| 3.13']
