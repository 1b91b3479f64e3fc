"""Commands of the documentation: in code blocks and in running text, one a `Command`."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LIST = 'commands.md'  # of those that no test runs; it has only their beginnings
PAGES = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md',
         *(page for page in sorted((ROOT / 'docs').glob('*.md')) if page.name != LIST)]
OURS = tuple(path.stem for path in (ROOT / 's4mim_jax').glob('*.py') if "'__main__'" in path.read_text())
# What a line begins with that is typed into a shell.
PROGRAMS = ('python pip bash sh source export unset cp mv rm mkdir cd ln tar unzip curl wget git docker kubectl gcloud '
            'sky sbatch srun scancel mkdocs tensorboard jupyter pytest ruff uv conda nvidia-smi taskset env').split()
_TYPED = re.compile(r'(?:\$ )?((?:[A-Z_][A-Z_0-9]*=(?:\S+) +)*)(\S+)')


class Command(NamedTuple):
    """A line as it is typed, without its comment, its environment and its continuation. page: the file's name."""

    page: str
    text: str

    @property
    def module(self) -> str | None:
        """X of `python -m s4mim_jax.X`, `train` of a script that starts it behind ` -- `, else None."""
        found = re.match(r'\S*python -m s4mim_jax\.([\w.]+)', self.text)
        return found[1] if found else 'train' if ' -- ' in self.text else None

    @property
    def words(self) -> list[str]:
        """Those after the module. What the page puts in brackets may be typed too, and `...` stands for anything."""
        text = self.text.split(' -- ', 1)[1:] or self.text.split(None, 3)[3:]
        plain = re.sub(r'\[(--[^\]]*)\]', r'\1', text[0]) if text else ''
        return [word for word in shlex.split(plain) if word != '...']


def _typed(line: str) -> str | None:
    """The command of a line, or None."""
    found = _TYPED.match(line)
    if not found:
        return None
    program = found[2]
    if re.fullmatch(r'(\./)?(launch|benchmarks)/\S+', program) or program.rpartition('/')[2] in PROGRAMS:
        return re.sub(r'\s+#\s.*', '', line[found.start(2):]).strip()
    return None


def _blocks(text: str) -> list[str]:
    """Lines of indented blocks and of fences of a shell, continuation lines joined."""
    joined, blocks, before, inside = re.sub(r'\\\n\s*', '', text), [[]], '', None
    for line in joined.splitlines():
        fence = re.match(r'\s*```(\w*)', line)
        if fence:
            inside = None if inside is not None else fence[1]
            blocks.append([])
        elif inside is not None:
            blocks[-1] += [line.strip()] if inside in ('sh', 'bash', 'shell', 'console', '') else []
        elif re.match(r'\s{4,}\S', line) and (not before.strip() or re.match(r'\s{4,}', before)):
            blocks[-1].append(line.strip())
        elif line.strip():
            blocks.append([])
        before = line
    prompted = [[line for line in block if line.startswith('$ ')] for block in blocks]  # beside `$ ` stands output
    return [line for block, typed in zip(blocks, prompted) for line in typed or block]


def _spans(text: str) -> list[str]:
    """What stands between backticks in running text; `train --x` is short for `python -m s4mim_jax.train --x`."""
    text = re.sub(r'^```.*?^```', '', text, flags=re.DOTALL | re.MULTILINE)
    text = '\n'.join(line for line in text.splitlines() if not re.match(r'    ', line))
    spans = [' '.join(span.split()) for span in re.findall(r'`([^`]+)`', text)]
    short = re.compile(rf'({"|".join(OURS)}) (?=-|[A-Z]+$)')
    return [f'python -m s4mim_jax.{span}' if short.match(span) else span for span in spans]


def collect() -> list[Command]:
    """Every command of every page, each once a page."""
    found = {}
    for page in PAGES:
        text = page.read_text(encoding='utf-8')
        for line in _blocks(text) + [span for span in _spans(text) if ' ' in span]:
            typed = _typed(line)
            if typed:
                found[Command(page.name, typed)] = None
    return list(found)
