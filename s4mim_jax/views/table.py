"""The views: one row each. Whoever speaks of views reads this table.

Network passes and what they cost, the pixels that are made, masks, targets, the terms of masked image modelling,
pictures and statistics all find here what they need to know of a view. A row more is a view more: a module that
`method.modules` names may have rows of its own, `VIEWS`.
"""

from typing import NamedTuple

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.extensions import extensions


class View(NamedTuple):
    """One view of a crop.

    name: of its pixels, features and outputs. side: 'labeled' or 'unlabeled', whose crops they are.
    base: the view that it is made of, None = the crop as it was read.
    call: place of the student's network call that sees it; None = the student does not see it by itself (the teacher
      does, another view is made of it, or it is another view's features once more).
    slot: which of an unlabelled example's crops, 0 its own, 1 its CutMix partner.
    stream: name of its random numbers, of colours, masks and so on; '' = its own name.
    photometric: colours are changed. cutmix: a box of the partner is pasted, and the target is mixed alike.
    dropped: the features of `base`, decoded once more with channels dropped.
    mask: of masked copies, the name of their mask: prefix of its keys in config.method.masks (`w_ratio`, `w_kind`) and
      of the copy in config.method.mim; also its stream. None = nothing is hidden.
    kind, hidden: defaults of these two keys: 'grid' or 'freeform', and the hidden share of a grid.
    other_base: (switch of config.method.masks, the base where it is on).
    panel: which row of pictures shows it: 'labeled', 'unlabeled', 'masked', '' = none.
    """

    name: str
    side: str
    base: str | None = None
    call: int | None = None
    slot: int = 0
    stream: str = ''
    photometric: bool = False
    cutmix: bool = False
    dropped: bool = False
    mask: str | None = None
    kind: str = 'grid'
    hidden: float = 0.5
    other_base: tuple[str, str] | None = None
    panel: str = ''


LABELED, WEAK, PARTNER = 'x', 'w', 'partner'  # what everybody has: the labelled view, the teacher's, its partner's

# Calls run in the order of their places, which is the order in which BatchNorm statistics move: cat(x, w), then
# cat(s1, s2), as in UniMatch's released code. Masked copies come last, in one call for all terms: their masks may
# need the targets, and they write no statistics (half of their pixels are constant).
VIEWS = (
    View(LABELED, 'labeled', call=0, panel='labeled'),
    View(WEAK, 'unlabeled', call=0, panel='unlabeled'),
    View(PARTNER, 'unlabeled', slot=1),
    View('w_dropped', 'unlabeled', base='w', dropped=True),
    View('w_photometric', 'unlabeled', base='w', stream='w', photometric=True),
    View('s1', 'unlabeled', base='w', call=1, photometric=True, cutmix=True, panel='unlabeled'),
    View('s2', 'unlabeled', base='w', call=1, photometric=True, cutmix=True),
    View('x_masked', 'labeled', base='x', call=2, mask='x', panel='masked'),
    View('w_masked', 'unlabeled', base='w', call=2, mask='w', other_base=('w_photometric', 'w_photometric'),
         panel='masked'),
    View('s1_masked', 'unlabeled', base='s1', call=2, mask='s', panel='masked'),
)


class Views(dict):
    """The table of a method: name -> View, with what can be asked of it."""

    def row(self, name: str) -> View:
        """Raises InputError where no row has the name."""
        if name not in self:
            raise InputError(f'a term needs the view {name!r}, which the table of views does not have\n'
                             f'valid: {", ".join(self)}')
        return self[name]

    def of_call(self, place: int) -> tuple[str, ...]:
        """Views of one network call, in batch order."""
        return tuple(row.name for row in self.values() if row.call == place)

    @property
    def calls(self) -> tuple[int, ...]:
        """Places of the network calls, in the order in which they run."""
        return tuple(sorted({row.call for row in self.values() if row.call is not None}))

    @property
    def strong(self) -> tuple[str, ...]:
        """Views with CutMix, without their masked copies."""
        return tuple(row.name for row in self.values() if row.cutmix)

    @property
    def copies(self) -> dict[str, View]:
        """Name of a mask -> the masked copy."""
        return {row.mask: row for row in self.values() if row.mask}

    def mixed(self, name: str) -> bool:
        """Whether the view, or one that it is made of, has CutMix."""
        row = self[name]
        return row.cutmix or row.base is not None and self.mixed(row.base)

    def target(self, name: str) -> str:
        """Whose pseudo-label an unlabelled view is compared with: its own if it is mixed, else that of its base."""
        row = self[name]
        return name if row.cutmix or row.base is None else self.target(row.base)

    def base(self, name: str, masks) -> str:
        """The view whose pixels a masked copy shows, under the switches of config.method.masks."""
        row = self[name]
        return row.other_base[1] if row.other_base and masks[row.other_base[0]] else row.base


def views_of(method) -> Views:
    """The package's views and those of `method.modules`.

    Raises:
      InputError: two rows of one name, two masks of one name, or a base that has no row.
    """
    rows = [*VIEWS, *(row for module in extensions(method).values() for row in getattr(module, 'VIEWS', ()))]
    for kind, names in (('views', [row.name for row in rows]), ('masks', [row.mask for row in rows if row.mask])):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f'--config.method.modules={tuple(method.modules)}: two {kind} are named {twice[0]!r}')
    found = Views({row.name: row for row in rows})
    for row in rows:
        if row.base is not None and row.base not in found:
            raise InputError(f'the view {row.name!r} is made of {row.base!r}, which the table of views does not have')
    return found
