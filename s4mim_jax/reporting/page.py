"""Writes a report: index.html with everything inside it, report.md, and the pictures as files."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from s4mim_jax.config.errors import InputError
from s4mim_jax.reporting.figures import Picture
from s4mim_jax.reporting.tables import Table

CSS = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --soft: #555; --line: #e3e3e3; --strong: #999;
        --hover: #f4f6f8; --box: #fff6e0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #16181b; --soft: #a9adb3; --line: #33373c; --strong: #6b7077; --hover: #22262b;
          --box: #3a2f14; }
  a { color: #8ab4f8; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 1240px; margin: 0 auto; padding: 1em 1.5em 4em; }
h1 { font-size: 1.5em; overflow-wrap: anywhere; }
h2 { font-size: 1.2em; margin: 2.2em 0 .6em; border-bottom: 1px solid var(--strong); }
h3 { font-size: 1em; margin: 1.2em 0 .3em; } .lead { font-size: 1.08em; max-width: 62em; }
nav a { margin-right: 1em; display: inline-block; padding: .2em 0; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87em; font-variant-numeric: tabular-nums; }
th, td { padding: .28em .7em; text-align: right; border-bottom: 1px solid var(--line); }
th { vertical-align: bottom; border-bottom: 2px solid var(--strong); }
td.number, td:has(.mark) { white-space: nowrap; } th:first-child, td:first-child { text-align: left; }
tr:hover td { background: var(--hover); }
pre { background: var(--hover); padding: .6em .8em; font-size: .85em; }
.mark { display: inline-block; width: .8em; height: .8em; margin-right: .5em; }
figure { display: inline-block; vertical-align: top; margin: 0 1.5em 1em 0; max-width: 100%; }
.zoom { display: block; max-width: 100%; overflow: auto; }
.zoom input { position: absolute; opacity: 0; }
.zoom input:focus-visible + img { outline: 2px solid #1a73e8; }
.zoom img { max-width: 100%; max-height: 85vh; height: auto; cursor: zoom-in; background: #fff; display: block; }
.zoom input:checked + img { max-width: none; max-height: none; cursor: zoom-out; }
figcaption, .note { color: var(--soft); font-size: .85em; max-width: 75em; margin: .3em 0; }
.box { background: var(--box); border-left: 4px solid #d99a00; padding: .4em 1em; font-size: .9em; }
@media (max-width: 600px) {
  body { padding: .6em .8em 3em; } figure { margin-right: 0; } th, td { padding: .25em .4em; } }
@media print {
  :root { --ink: #000; --paper: #fff; --soft: #333; --line: #ccc; --box: #fff; } body { max-width: none; padding: 0; }
  nav { display: none; } figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .scroll, .zoom { overflow: visible; } .zoom img, .zoom input:checked + img { max-width: 100%; max-height: 22cm; } }
"""


@dataclass
class Section:
    """A heading with tables, pictures, notes, links (text, address beside the page) and commands to type below it;
    `folded` tables open on a click."""

    title: str
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folded: bool = False
    links: list[tuple[str, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.tables or self.pictures or self.notes or self.links or self.commands)


def prepare(output: str) -> Path:
    """Makes the folder of the report and proves that it can be written.

    Raises:
      InputError: it cannot.
    """
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / '.probe'
        probe.write_text('')
        probe.unlink()
    except OSError as error:
        raise InputError(f'--output={output} cannot be written ({error.strerror})\n'
                         'name a folder that you may write') from None
    return folder


def write(folder: Path, title: str, lead: str, warnings: Sequence[str], sections: Sequence[Section]) -> Path:
    """Writes the pictures, report.md and, last, index.html; what the folder holds beside them stays.

    Returns:
      path of index.html.

    Raises:
      InputError: the folder cannot be written.
    """
    sections = [section for section in sections if section]
    files = {f'{p.name}.png': p.png for section in sections for p in section.pictures}
    files['report.md'] = _markdown(title, lead, warnings, sections).encode()
    files['index.html'] = _page(title, lead, warnings, sections).encode()
    try:
        for name, content in files.items():
            temporary = folder / f'.{name}.part'
            temporary.write_bytes(content)
            temporary.replace(folder / name)
    except OSError as error:
        raise InputError(f'--output={folder} cannot be written ({error.strerror})') from None
    return folder / 'index.html'


def _page(title, lead, warnings, sections) -> str:
    text = html.escape
    parts = [f'<h1>{text(title)}</h1>', f'<p class="lead">{text(lead)}</p>',
             '<nav>' + ' '.join(f'<a href="#s{i}">{text(s.title)}</a>' for i, s in enumerate(sections)) + '</nav>']
    if warnings:
        items = ''.join(f'<li>{text(warning)}</li>' for warning in warnings)
        parts.append(f'<div class="box"><strong>Know before comparing</strong><ul>{items}</ul></div>')
    for index, section in enumerate(sections):
        parts.append(f'<h2 id="s{index}">{text(section.title)}</h2>')
        parts += [f'<p class="note">{text(note)}</p>' for note in section.notes]
        parts += [f'<p><a href="{text(quote(address))}">{text(words)}</a></p>' for words, address in section.links]
        if section.commands:
            parts.append('<pre class="scroll">' + '\n'.join(map(text, section.commands)) + '</pre>')
        parts += [_figure(picture, picture.title != section.title) for picture in section.pictures]
        for table in section.tables:
            body = _table(table)
            if section.folded:
                body = f'<details><summary>{text(table.title)} as a table</summary>{body}</details>'
            elif table.title != section.title:
                body = f'<h3>{text(table.title)}</h3>{body}'
            parts.append(body)
    body = '\n'.join(parts)
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{text(title)}</title>\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{CSS}</style>\n</head>\n'
            f'<body>\n{body}\n</body>\n</html>\n')


def _figure(picture: Picture, titled: bool) -> str:
    data = base64.b64encode(picture.png).decode()
    title, caption = html.escape(picture.title), html.escape(picture.caption)
    head = f'<h3>{title}</h3>' if titled else ''
    # Without a script: the checkbox that the picture lies in is what a click, or the space bar, changes.
    return (f'<figure>{head}<label class="zoom"><input type="checkbox" aria-label="{title}, full size">'
            f'<img alt="{title}" src="data:image/png;base64,{data}"></label>'
            f'<figcaption>{caption}</figcaption></figure>')


def _table(table: Table) -> str:
    head = ''.join(f'<th>{html.escape(name)}</th>' for name in table.columns)
    rows = []
    for index, row in enumerate(table.rows):
        mark = f'<span class="mark" style="background:{table.colors[index]}"></span>' if table.colors else ''
        cells = [f'<td>{mark}{html.escape(row[0])}</td>']
        cells += [f'<td{" class=number" if len(cell) < 22 else ""}>{html.escape(cell)}</td>' for cell in row[1:]]
        rows.append(f'<tr>{"".join(cells)}</tr>')
    notes = ''.join(f'<p class="note">{html.escape(note)}</p>' for note in table.notes)
    return (f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n' + '\n'.join(rows)
            + f'\n</tbody></table></div>{notes}')


def _markdown(title, lead, warnings, sections) -> str:
    # Names come from files; a bar would end the cell, a bracket or angle begin a link or a tag.
    text = lambda value: ''.join('\\' + c if c in '\\|<>[]*`' else c for c in ' '.join(str(value).split()))
    lines = [f'# {text(title)}', '', text(lead), '']
    if warnings:
        lines += ['**Know before comparing**', '', *(f'- {text(warning)}' for warning in warnings), '']
    for section in sections:
        lines += [f'## {text(section.title)}', '']
        for note in section.notes:
            lines += [text(note), '']
        for words, address in section.links:
            lines += [f'[{text(words)}]({quote(address)})', '']
        if section.commands:
            lines += [*(f'    {command}' for command in section.commands), '']
        for picture in section.pictures:
            lines += [f'![{text(picture.title)}]({picture.name}.png)', '', text(picture.caption), '']
        for table in section.tables:
            if table.title != section.title:
                lines += [f'### {text(table.title)}', '']
            lines += ['| ' + ' | '.join(map(text, row)) + ' |' for row in [table.columns]]
            lines += ['|---' + '|---:' * (len(table.columns) - 1) + '|']
            lines += ['| ' + ' | '.join(map(text, row)) + ' |' for row in table.rows]
            lines += ['', *(text(note) + '\n' for note in table.notes)]
    return '\n'.join(lines).rstrip() + '\n'
