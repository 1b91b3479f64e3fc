"""Pictures for the page: a figure of matplotlib as PNG, without its global state."""

import io
import math
import textwrap
from dataclasses import dataclass

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from s4mim_jax.reporting.groups import Group

STYLE = {'font.size': 9, 'axes.titlesize': 10, 'axes.spines.top': False, 'axes.spines.right': False,
         'axes.grid': True, 'grid.color': '#e4e4e4', 'grid.linewidth': 0.7, 'axes.axisbelow': True,
         'font.family': 'DejaVu Sans'}
DPI = 130


@dataclass(frozen=True)
class Picture:
    """A PNG: `name` of its file without suffix, a title and a caption that says how to read it."""

    name: str
    title: str
    caption: str
    png: bytes


def new_figure(width: float, height: float) -> Figure:
    """A figure of width x height inches; its axes must be made inside `style()`."""
    return Figure(figsize=(width, height), layout='constrained')


def style():
    """Context in which axes look the same in all pictures."""
    return matplotlib.rc_context(STYLE)


def png(figure: Figure) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=DPI, metadata={'Software': None})
    return buffer.getvalue()


def plain(text: str, width: int | None = None) -> str:
    """Text that matplotlib shows as it is: no formulas between dollars, no hidden legend entries;
    broken into lines of `width` characters if given."""
    text = str(text).replace('$', r'\$')
    text = ' ' + text if text.startswith('_') else text
    return '\n'.join(textwrap.wrap(text, width)) if width else text


def add_legend(figure: Figure, groups: list[Group], width: float) -> None:
    """Names of the groups below the axes, in as many columns as fit into `width` inches."""
    longest = max(len(group.name) for group in groups)
    columns = max(1, min(len(groups), int(width / (0.075 * longest + 0.6))))
    handles = [Line2D([], [], color=group.color, linestyle=group.dashes, linewidth=2) for group in groups]
    figure.legend(handles, [plain(group.name) for group in groups], loc='outside lower center', ncols=columns,
                  frameon=False, handlelength=3)


def grid_shape(count: int, columns: int = 3) -> tuple[int, int]:
    """(rows, columns) for `count` small plots."""
    columns = min(count, columns)
    return math.ceil(count / columns), columns
