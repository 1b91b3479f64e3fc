"""Which network calls a method needs: from its active terms to a list of calls.

Outputs have the names of the rows of `views/table.py`, which says what each view is and which call sees it. Views
that no term asks for are left out, a call without views is not made.
"""

from typing import NamedTuple

from s4mim_jax import terms
from s4mim_jax.views.table import PARTNER, WEAK, Views, views_of


class Call(NamedTuple):
    """One training-mode network call.

    decoded: names of the decoder's outputs in batch order. masked: it sees masked copies, and writes no BatchNorm
    statistics.
    """

    views: tuple[str, ...]
    decoded: tuple[str, ...]
    masked: bool = False


class Passes(NamedTuple):
    """Everything that a step of a method runs."""

    table: Views
    calls: tuple[Call, ...]
    teacher: str  # none | self | ema
    partner: bool  # the teacher also looks at a CutMix partner of its own (P = 2)
    scales: tuple[float, ...] = (1.0,)  # of the teacher

    @property
    def unlabeled(self) -> bool:
        return self.teacher != 'none'

    @property
    def views(self) -> tuple[str, ...]:
        """Views that the student sees without a mask."""
        return tuple(view for call in self.calls if not call.masked for view in call.views)

    @property
    def masked(self) -> tuple[str, ...]:
        """Masked copies that the student sees."""
        return tuple(view for call in self.calls if call.masked for view in call.views)


def passes_of(method) -> Passes:
    """The calls of a `config.method`, computed from the weights of its terms.

    Raises:
      InputError: a term that asks for a view which there is not.
    """
    views = views_of(method)
    needed = {name for term in terms.active(method).values() for name in term.needs(method)}
    unlabeled = any(views.row(name).side == 'unlabeled' for name in needed)
    teacher = method.teacher.kind if unlabeled else 'none'
    if teacher == 'self':
        needed.add(WEAK)  # the pseudo-label is the student's own output, detached
    again = {row.name: row.base for row in views.values() if row.dropped and row.name in needed}
    calls = []
    for place in views.calls:
        group = views.of_call(place)
        seen = tuple(view for view in group if view in needed or view in again.values())
        if seen:
            dropped = tuple(name for name, view in again.items() if view in group)
            calls.append(Call(seen, seen + dropped, any(views[view].mask for view in seen)))
    strong = any(views.mixed(view) for view in needed)
    partner = strong and method.cutmix.probability > 0 and method.cutmix.partner != 'batch'
    scales = tuple(method.teacher.scales) if unlabeled else (1.0,)
    return Passes(views, tuple(calls), teacher, partner, scales)


def pass_costs(config) -> list[dict]:
    """The network passes of a step: {call, views, encoded, decoded, gradient}, counts in images.

    `encoded` of a teacher at several scales counts every scale's images.
    """
    passes, rows = passes_of(config.method), []
    size = lambda view: images_of(passes.table[view], config)
    watched = ([WEAK] if passes.teacher == 'ema' else []) + ([f'{PARTNER} of {WEAK}'] if passes.partner else [])
    whole = len(passes.scales) * len(watched)
    if passes.teacher == 'self':  # its map of `w` at scale 1 is the student's own training output
        whole += sum(scale != 1.0 for scale in passes.scales)
        watched = watched or ([WEAK] if whole else [])
    if whole:
        who = 'EMA teacher' if passes.teacher == 'ema' else 'student as teacher'
        at = '' if passes.scales == (1.0,) else f' at scales {", ".join(f"{s:g}" for s in passes.scales)}'
        images = whole * config.batch.unlabeled
        rows.append({'call': f'{who}, evaluation mode{at}', 'views': watched, 'encoded': images,
                     'decoded': images, 'gradient': False})
    for call in passes.calls:
        masked = 'no statistics written' if config.method.masks.statistics == 'batch' else 'running statistics'
        rows.append({'call': 'student, training mode' + (f', {masked}' if call.masked else ''),
                     'views': list(call.decoded), 'encoded': sum(size(v) for v in call.views),
                     'decoded': sum(map(size, call.decoded)), 'gradient': True})
    return rows


def images_of(row, config) -> int:
    """Images a step of a view, a row of the table of views."""
    return config.batch.labeled if row.side == 'labeled' else config.batch.unlabeled


def describe(config) -> str:
    """`pass_costs` as text, with the sums of the images that are encoded and decoded."""
    rows = pass_costs(config)
    lines = [f'  {row["call"]}: {", ".join(row["views"])} '
             f'({row["encoded"]} images encoded, {row["decoded"]} decoded{"" if row["gradient"] else ", no gradient"})'
             for row in rows]
    total = lambda key, gradient: sum(row[key] for row in rows if row['gradient'] is gradient)
    lines.append(f'  together {total("encoded", True)} encoded and {total("decoded", True)} decoded with gradient, '
                 f'{total("encoded", False)} and {total("decoded", False)} without')
    return '\n'.join(lines)
