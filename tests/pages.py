"""Tables of the documentation that tests hold against the code.

Each stands once, between <!-- name --> and <!-- /name -->.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]


def between(name: str) -> str:
    """What stands between the marks, on whichever page it is."""
    found = [text.partition(f'<!-- {name} -->\n')[2].partition(f'<!-- /{name} -->')[0]
             for text in (page.read_text() for page in PAGES) if f'<!-- {name} -->' in text]
    assert len(found) == 1, f'<!-- {name} --> stands on {len(found)} pages'
    return found[0]


def rows(name: str) -> list[list[str]]:
    """Cells of the rows of the table between the marks, without its head."""
    return [[cell.strip() for cell in line.strip().strip('|').split('|')] for line in between(name).splitlines()[2:]]


def commands(start: str) -> str:
    """The first indented block that begins with `start`, on whichever page it is."""
    for page in PAGES:
        _, found, rest = page.read_text().partition(f'    {start}')
        if found:
            return start + rest.partition('\n\n')[0]
    raise AssertionError(f'no page has a command that begins with {start!r}')
