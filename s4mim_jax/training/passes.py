"""Which network calls a method needs: from its active terms to a list of calls.

Outputs have names. A view's output carries the view's name (`x` labelled, `w` unlabelled weak,
`s1`, `s2` strong views of the same crop); `w_dropped` is a second decoder pass over the features
of `w` with channels dropped.
"""

from typing import NamedTuple

from s4mim_jax import terms

# Calls in the order in which they run, which is the order in which BatchNorm statistics move:
# cat(x, w), then cat(s1, s2), as in UniMatch's released code. Views that no term asks for are left
# out, a call without views is not made.
GROUPS = (('x', 'w'), ('s1', 's2'))
DROPPED = {'w_dropped': 'w'}  # output -> the view whose features are decoded once more
STRONG = ('s1', 's2')


class Call(NamedTuple):
    """One training-mode network call. `decoded` names the decoder's outputs in batch order."""

    views: tuple[str, ...]
    decoded: tuple[str, ...]


class Passes(NamedTuple):
    """Everything that a step of a method runs."""

    calls: tuple[Call, ...]
    teacher: str  # none | self | ema
    partner: bool  # the teacher also looks at a CutMix partner of its own (P = 2)

    @property
    def unlabeled(self) -> bool:
        return self.teacher != 'none'

    @property
    def views(self) -> tuple[str, ...]:
        return tuple(view for call in self.calls for view in call.views)


def plan(method) -> Passes:
    """The calls of a `config.method`, computed from the weights of its terms."""
    needed = {name for term in terms.active(method).values() for name in term.needs(method)}
    unlabeled = any(name != 'x' for name in needed)
    teacher = method.teacher.kind if unlabeled else 'none'
    if teacher == 'self':
        needed.add('w')  # the pseudo-label is the student's own output, detached
    calls = []
    for group in GROUPS:
        dropped = tuple(name for name, view in DROPPED.items() if name in needed and view in group)
        views = tuple(v for v in group if v in needed or v in [DROPPED[d] for d in dropped])
        if views:
            calls.append(Call(views, views + dropped))
    strong = any(view in needed for view in STRONG)
    partner = strong and method.cutmix.probability > 0 and method.cutmix.partner != 'batch'
    return Passes(tuple(calls), teacher, partner)


def describe(config) -> str:
    """A line a call: views, images through encoder and decoder, gradient, statistics."""
    passes, lines, sizes = plan(config.method), [], {'x': config.batch.labeled}
    size = lambda view: sizes.get(view, config.batch.unlabeled)
    own_pass = passes.teacher == 'ema'
    if own_pass or passes.partner:
        seen = (['w'] if own_pass else []) + (['partner of w'] if passes.partner else [])
        who = 'EMA teacher' if own_pass else 'student as teacher'
        lines.append(f'  {who}, evaluation mode: {", ".join(seen)} '
                     f'({config.batch.unlabeled * len(seen)} images, no gradient)')
    for call in passes.calls:
        encoded = sum(size(v) for v in call.views)
        decoded = sum(size(DROPPED.get(v, v)) for v in call.decoded)
        lines.append(f'  student, training mode: {", ".join(call.decoded)} '
                     f'({encoded} images encoded, {decoded} decoded)')
    return '\n'.join(lines)
