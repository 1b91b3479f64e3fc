"""Which network calls a method needs: from its active terms to a list of calls.

Outputs have names. A view's output carries the view's name: `x` labelled, `w` unlabelled weak,
`s1`, `s2` strong views of the same crop, and their masked copies `x_masked`, `w_masked`,
`s1_masked`. `w_dropped` is a second decoder pass over the features of `w` with channels dropped.
"""

from typing import NamedTuple

from s4mim_jax import terms

# Calls in the order in which they run, which is the order in which BatchNorm statistics move:
# cat(x, w), then cat(s1, s2), as in UniMatch's released code. Views that no term asks for are left
# out, a call without views is not made. Masked copies come last, in one call for all terms: their
# masks may need the targets, and they write no statistics (half of their pixels are constant).
MASKED = {'x_masked': 'x', 'w_masked': 'w', 's1_masked': 's1'}  # masked copy -> its view
GROUPS = (('x', 'w'), ('s1', 's2'), tuple(MASKED))
DROPPED = {'w_dropped': 'w'}  # output -> the view whose features are decoded once more
STRONG = ('s1', 's2')


class Call(NamedTuple):
    """One training-mode network call. `decoded` names the decoder's outputs in batch order."""

    views: tuple[str, ...]
    decoded: tuple[str, ...]

    @property
    def masked(self) -> bool:
        """Whether it sees masked copies, and writes no BatchNorm statistics."""
        return self.views[0] in MASKED


class Passes(NamedTuple):
    """Everything that a step of a method runs."""

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


def plan(method) -> Passes:
    """The calls of a `config.method`, computed from the weights of its terms."""
    needed = {name for term in terms.active(method).values() for name in term.needs(method)}
    unlabeled = any(name not in ('x', 'x_masked') for name in needed)
    teacher = method.teacher.kind if unlabeled else 'none'
    if teacher == 'self':
        needed.add('w')  # the pseudo-label is the student's own output, detached
    calls = []
    for group in GROUPS:
        dropped = tuple(name for name, view in DROPPED.items() if name in needed and view in group)
        views = tuple(v for v in group if v in needed or v in [DROPPED[d] for d in dropped])
        if views:
            calls.append(Call(views, views + dropped))
    strong = any(view in needed for view in (*STRONG, 's1_masked'))
    partner = strong and method.cutmix.probability > 0 and method.cutmix.partner != 'batch'
    scales = tuple(method.teacher.scales) if unlabeled else (1.0,)
    return Passes(tuple(calls), teacher, partner, scales)


def table(config) -> list[dict]:
    """The network passes of a step: {call, views, encoded, decoded, gradient}, counts in images.

    `encoded` of a teacher at several scales counts every scale's images.
    """
    passes, rows = plan(config.method), []
    size = lambda view: config.batch.labeled if view in ('x', 'x_masked') else config.batch.unlabeled
    watched = (['w'] if passes.teacher == 'ema' else []) + (['partner of w'] if passes.partner else [])
    whole = len(passes.scales) * len(watched)
    if passes.teacher == 'self':  # its map of `w` at scale 1 is the student's own training output
        whole += sum(scale != 1.0 for scale in passes.scales)
        watched = watched or (['w'] if whole else [])
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
                     'decoded': sum(size(DROPPED.get(v, v)) for v in call.decoded), 'gradient': True})
    return rows


def describe(config) -> str:
    """`table` as text, with the sums of the images that are encoded and decoded."""
    rows = table(config)
    lines = [f'  {row["call"]}: {", ".join(row["views"])} '
             f'({row["encoded"]} images encoded, {row["decoded"]} decoded{"" if row["gradient"] else ", no gradient"})'
             for row in rows]
    total = lambda key, gradient: sum(row[key] for row in rows if row['gradient'] is gradient)
    lines.append(f'  together {total("encoded", True)} encoded and {total("decoded", True)} decoded with gradient, '
                 f'{total("encoded", False)} and {total("decoded", False)} without')
    return '\n'.join(lines)
