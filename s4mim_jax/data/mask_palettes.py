"""Palettes of masks, compared with the classes' own colours and with one another.

A palette that agrees with the colours of the classes proves that its indices are class ids. One that gives these
colours to other indices was sorted, by an optimiser or a program that keeps the used colours only: its indices are no
ids.
"""

from collections import Counter
from collections.abc import Mapping

from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.files.mask_colors import unpacked
from s4mim_jax.data.files.mask_info import MaskInfo
from s4mim_jax.data.label_map import parse


def listed(label_map: str | None) -> set[int] | None:
    """The numbers that a `data.label_map` names; None without one."""
    return None if label_map is None else set(parse(label_map))


def _owners(source) -> dict[int, set[int]]:
    """0xRRGGBB -> ids that `classes.txt`, or the dataset's own table, gives that colour."""
    owners: dict[int, set[int]] = {}
    for (r, g, b), identity in source.colors.colors if source.colors else ():
        owners.setdefault(r << 16 | g << 8 | b, set()).add(identity)
    return owners


def _usual(source) -> dict[int, set[int]]:
    """0xRRGGBB -> ids, of the colours that the classes are drawn in; VOC's where nothing else is known."""
    owners: dict[int, set[int]] = {}
    for identity, (r, g, b) in enumerate(source.palette.tolist()):
        owners.setdefault(r << 16 | g << 8 | b, set()).add(identity)
    return owners


def _entries(info: MaskInfo) -> list[tuple[int, int]]:
    """(index, 0xRRGGBB) of the used ones; 255 is no index that a sorted palette has, and means ignore."""
    return [(v, c) for v, c in zip(info.values, info.colors) if v != IGNORE]


def _agrees(source, index: int, ids: set[int]) -> bool:
    """Whether an index means one of the ids: by its label, or as an id that a `data.label_map` gives another class."""
    label = int(source.lookup[index])
    return label in ids or index in ids and label != IGNORE


def confirmed(source, info: MaskInfo) -> bool:
    """Whether the palette's used indices all have the colours of their classes."""
    if info.form != 'palette':
        return False
    owners = [_owners(source), _usual(source)]
    return bool(_entries(info)) and all(any(_agrees(source, i, o[c]) for o in owners if c in o)
                                         for i, c in _entries(info))


def contradiction(source, info: MaskInfo) -> tuple[int, int, int] | None:
    """(index, 0xRRGGBB, id) of a colour that belongs to another class than the index; None if there is none.

    The colours that were given to the classes count one by one. Those that they are merely drawn in (VOC's) count only
    where every colour of the palette is one of them, and no `data.label_map` says what the numbers are.
    """
    if info.form != 'palette' or len({code for _, code in _entries(info)}) < len(_entries(info)):
        return None  # a palette that gives two indices one colour, such as one left black, says nothing
    owners = _owners(source)
    for index, code in _entries(info):
        if code in owners and not _agrees(source, index, owners[code]):
            return index, code, min(owners[code])
    usual = _usual(source)
    if owners or source.label_map is not None or not all(code in usual for _, code in _entries(info)):
        return None
    wrong = [(i, code, min(usual[code])) for i, code in _entries(info) if not _agrees(source, i, usual[code])]
    return wrong[0] if wrong else None


def entries(info: Mapping[str, MaskInfo]) -> dict[int, int]:
    """Index -> 0xRRGGBB over the palettes of a dataset that agree."""
    return {i: c for f in info.values() if f.form == 'palette' for i, c in _entries(f)}


def problems(source, info: Mapping[str, MaskInfo], *, levels: bool) -> dict[str, str]:
    """{path: message} of masks, read as numbers, whose palettes contradict the classes or one another.

    Args:
      levels: gray palettes are read by the gray level that is shown; they say nothing then.
    """
    found, places, colors = {}, {}, {}
    palettes = {p: f for p, f in info.items() if f.form == 'palette' and not (levels and None not in f.shown)}
    for path, f in palettes.items():
        if wrong := contradiction(source, f):
            index, code, identity = wrong
            name = source.classes[identity] if identity < len(source.classes) else 'void'
            found[path] = (f'{path}: its palette gives index {index} the colour {unpacked(code)}, which is that of '
                           f'class {identity} ({name}); sorted palettes hold no class ids\n'
                           f'valid: {_remedy(source)}')
        elif not confirmed(source, f):
            repeated = {c for c, n in Counter(f.colors).items() if n > 1}
            for index, code in _entries(f):
                first = colors.setdefault(index, (code, path))
                other = places.setdefault(code, (index, path)) if code not in repeated else (index, path)
                if first[0] != code:
                    found.setdefault(path, f'{path}: its palette gives index {index} the colour {unpacked(code)}, that '
                                     f'of {first[1]} gives it {unpacked(first[0])}\nvalid: {_remedy(source)}')
                elif other[0] != index:
                    found.setdefault(path, f'{path}: its palette gives the colour {unpacked(code)} to index {index}, '
                                     f'that of {other[1]} to {other[0]}\nvalid: {_remedy(source)}')
    if any(None in f.shown or confirmed(source, f) for f in palettes.values()):
        found |= _gray_conflicts(source, {p: f for p, f in info.items() if f.form == 'gray'}, next(iter(palettes)))
    return found


def _gray_conflicts(source, gray: Mapping[str, MaskInfo], palette: str) -> dict[str, str]:
    """Gray masks beside palette ones that a program may have made of colours: their gray is the colour of a class."""
    owners, found = _owners(source), {}
    numbers = {value for f in gray.values() for value in f.values}
    for path, f in gray.items():
        for value, shown in zip(f.values, f.shown):
            ids = owners.get(shown * 0x010101, set()) - {IGNORE}
            # Where gray masks hold the class by its number too, they are numbers, and 255 means ignored.
            if value and ids and not ids & numbers and not _agrees(source, value, ids):
                found[path] = (f'{path}: a gray mask beside palette masks such as {palette}; its gray level {shown} is '
                               f'the colour of class {source.classes[min(ids)]}, its number {value} is not\n'
                               'valid: one kind of masks in a dataset')
    return found


def _remedy(source) -> str:
    colors = ('--config.data.mask_colors=always reads the colours' if source.colors and not source.colors.problem else
              'list the colours in classes.txt (`id name r g b`) and they are read')
    return f'one palette for all masks; {colors}; --config.data.mask_colors=never trusts the indices'
