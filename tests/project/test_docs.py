"""The documentation builds without a warning, every page is reachable; the code keeps the rules of ruff."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pages
import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*command):
    return subprocess.run([sys.executable, '-m', *command], cwd=ROOT, capture_output=True, text=True, timeout=300,
                          env=os.environ | {'JAX_PLATFORMS': 'cpu'})


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip('mkdocs')
    pytest.importorskip('mkdocstrings')
    done = run('mkdocs', 'build', '--strict', '--site-dir', str(tmp_path / 'site'))
    assert done.returncode == 0, [line for line in done.stderr.splitlines() if not line.startswith('INFO')]
    assert 'neighbor_union' in (tmp_path / 'site' / 'api' / 'index.html').read_text()


def test_the_index_reaches_every_page():
    index = (ROOT / 'docs' / 'index.md').read_text()
    linked = set(re.findall(r'\]\(([a-z_0-9]+\.md)', index))
    assert linked == {page.name for page in (ROOT / 'docs').glob('*.md')} - {'index.md'}


def test_links_of_the_first_page_lead_somewhere():
    text = pages.PAGES[0].read_text()
    targets = [t.partition('#')[0] for t in re.findall(r'\]\(([^)]+)\)', text) if not t.startswith('http')]
    assert targets and all((ROOT / target).exists() for target in targets)


def test_files_that_the_pages_name_are_there():
    """But for those that a command of the page makes."""
    made = {'benchmarks/results/platform.md', 's4mim_jax/data/kitti.py'}
    rooms = 'tests|benchmarks|s4mim_jax|configs|launch|docs'
    named = {(page.name, path) for page in pages.PAGES
             for path in re.findall(rf'`((?:{rooms})/[\w./-]+\.\w+)`', page.read_text())}
    assert len(named) > 40
    assert [(page, path) for page, path in sorted(named) if path not in made and not (ROOT / path).exists()] == []


def test_the_first_page_stays_short():
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 200


def test_the_code_keeps_the_chosen_rules():
    pytest.importorskip('ruff')
    done = run('ruff', 'check', '--no-cache', '--output-format', 'concise', '.')
    assert done.returncode == 0, done.stdout
