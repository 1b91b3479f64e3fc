"""Writes the row of one pair of Python and JAX into the table of tested versions; launch/matrix.sh calls it.

    python tests/platform_table.py TABLE.md PAIR RESULT.xml HUE
"""

import datetime
import platform
import sys
import xml.etree.ElementTree as xml
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = {'jax': 'jax', 'flax': 'flax', 'optax': 'optax', 'orbax': 'orbax-checkpoint',
            'TensorFlow': 'tensorflow-cpu', 'NumPy': 'numpy', 'Pillow': 'pillow'}
COLUMNS = ('pair', 'Python', *PACKAGES, 'passed', 'failed', 'seconds', 'hue: equal / ordered', 'date')
LEAD = """# Versions that were tested

Written by `launch/matrix.sh`, a row for each file of `constraints/`: the core tests (`launch/test.sh core`), and of how
many of 414,736 pixels the hue differs when it is found by equality and by order (`tests/hue_by_equality.py`, XLA's own
flags; see docs/platform.md).

"""


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return version('tensorflow') if package == 'tensorflow-cpu' else 'none'


def row(pair: str, result: str, hue: str) -> list[str]:
    suite = xml.parse(result).getroot().find('testsuite')
    failed = int(suite.get('failures')) + int(suite.get('errors'))
    passed = int(suite.get('tests')) - failed - int(suite.get('skipped'))
    return [pair, platform.python_version(), *map(installed, PACKAGES.values()), str(passed), str(failed),
            str(round(float(suite.get('time')))), hue.replace('/', ' / '), datetime.date.today().isoformat()]


def write(table: Path, new: list[str]) -> None:
    """The rows of other pairs stay."""
    rows = {}
    if table.exists():
        for line in table.read_text(encoding='utf-8').splitlines():
            cells = [cell.strip() for cell in line.strip('|').split('|')]
            if line.startswith('| ') and cells[0] != COLUMNS[0]:
                rows[cells[0]] = cells
    rows[new[0]] = new
    ordered = [rows[pair] for pair in sorted(rows, key=lambda pair: (pair != 'oldest', pair))]
    lines = ['| ' + ' | '.join(cells) + ' |\n' for cells in (COLUMNS, *ordered)]
    table.write_text(LEAD + ''.join([lines[0], '|---' * len(COLUMNS) + '|\n', *lines[1:]]), encoding='utf-8')


if __name__ == '__main__':
    write(Path(sys.argv[1]), row(*sys.argv[2:]))
