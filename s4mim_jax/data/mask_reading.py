"""What the numbers and colours of a dataset's masks mean: one reading for all of them, decided from what they hold.

The files say more than their numbers: depth, palette, colours. Two questions are settled for the whole dataset, and
every mask that does not fit the answer is refused by name:

1. Are the classes colours or numbers? Colours, if a mask is RGB, if `data.mask_colors` says so, or if palettes give the
   colours of `classes.txt` to other indices (an optimiser sorts them). Then every mask is read by what it shows, gray
   and palette ones too. Numbers otherwise: gray levels and palette indices, where the palettes agree.
2. Where gray levels are stored in fewer than 8 bits, or a palette is gray: is the number what is stored, or the gray
   level that is shown? White of one bit is 1 as stored and 255 as shown.

Transparent pixels have no class in either reading.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data import mask_palettes
from s4mim_jax.data.files.mask_info import MaskInfo
from s4mim_jax.data.label_map import parse

UNKNOWN = -1  # label of a number or colour without a meaning
READ_CLASSES = ('folder', 'camvid', 'voc')  # readers that take colours from classes.txt


@dataclass(frozen=True)
class Reading:
    """colors: the classes are colours. levels: numbers are gray levels as shown; None = no mask tells the two apart."""

    colors: bool = False
    levels: bool | None = None


def decide(source, info: Mapping[str, MaskInfo]) -> tuple[Reading, dict[str, str]]:
    """The reading that fits the masks, and {path: message} of those that do not fit it."""
    if _are_colors(source, info):
        reading = Reading(colors=True)
    else:
        stored, levels = Reading(levels=False), Reading(levels=True)
        differ = {path: f for path, f in info.items() if f.form != 'color' and None not in f.shown
                  and labels_of(source, stored, f) != labels_of(source, levels, f)
                  and not mask_palettes.confirmed(source, f)}
        if not differ:
            return Reading(), check(source, Reading(), info)
        reading = _stored_or_shown(source, info, differ)
        if reading is None:
            return stored, check(source, stored, info) | _ambiguous(info, differ)
    return reading, check(source, reading, info)


def check(source, reading: Reading, info: Mapping[str, MaskInfo]) -> dict[str, str]:
    """{path: message} of the masks that do not fit a reading."""
    colored = [path for path, f in info.items() if f.form == 'color']
    if reading.colors:
        if not usable(source.colors):
            return {path: no_colors(source, path) for path, f in info.items() if f.form != 'gray'}
        some = next((p for p, f in info.items() if f.form != 'gray'), None)
        return {path: _gray_among_colors(source, path, f, some) for path, f in info.items()
                if f.form == 'gray' and some and UNKNOWN in labels_of(source, reading, f)}
    number = next((path for path, f in info.items() if f.form == 'gray' and any(f.values)), None)
    problems = {path: no_colors(source, path, number) for path in colored}
    numbers = {path: f for path, f in info.items() if path not in problems}
    if source.mask_colors != 'never':
        problems |= mask_palettes.problems(source, numbers, levels=bool(reading.levels))
    return _classless(source, reading, numbers) | problems


def _classless(source, reading: Reading, info: Mapping[str, MaskInfo]) -> dict[str, str]:
    """Masks of one form that teach nothing but 0, beside masks of another that teach more: their numbers differ."""
    forms: dict[str, dict[str, set[int]]] = {}
    for path, f in info.items():
        labels = {label for value, label in zip(numbers_of(source, reading, f), labels_of(source, reading, f)) if value}
        if labels:
            name = 'palette' if f.form == 'palette' else f'{f.bits}-bit gray' if f.bits < 8 else 'gray'
            forms.setdefault(name, {})[path] = labels
    taught = {name: set().union(*found.values()) != {IGNORE} for name, found in forms.items()}
    other = next((name for name, some in taught.items() if some), None)
    if other is None:
        return {}
    return {path: f'{path}: all that this and the other {name} masks hold beside 0 is ignored, but {other} masks such '
                  f'as {next(iter(forms[other]))} show classes\n'
                  'valid: masks of one kind, or --config.data.label_map with the numbers of both'
            for name, found in forms.items() if not taught[name] for path in found}


def id_lookup(source) -> list[int]:
    """Id of a colour -> label: `data.label_map` where it is about ids; not where it is about numbers such as 255."""
    mapped = {} if source.label_map is None else parse(source.label_map)
    if source.label_map is None or any(v >= len(source.classes) and label != IGNORE for v, label in mapped.items()):
        return list(range(256))
    return source.lookup.tolist()


def labels_of(source, reading: Reading, info: MaskInfo) -> list[int]:
    """Label of each of the mask's values, or colours: a class, IGNORE, or UNKNOWN."""
    lookup, classes = source.lookup.tolist(), len(source.classes)
    if reading.colors:
        ids, lookup = color_classes(source), id_lookup(source)
        codes = [v * 0x010101 for v in info.shown] if info.form == 'gray' else info.colors
        labels = [lookup[ids[code]] if code in ids else UNKNOWN for code in codes]
    elif info.form == 'color':
        return [UNKNOWN] * len(info.colors)
    else:
        labels = [lookup[v] for v in numbers_of(source, reading, info)]
    return [UNKNOWN if classes <= label < IGNORE else label for label in labels]


def numbers_of(source, reading: Reading, info: MaskInfo) -> tuple[int, ...]:
    """What stands for a class, of each of the mask's values."""
    shown = reading.levels and info.form != 'color' and None not in info.shown
    return info.shown if shown and not mask_palettes.confirmed(source, info) else info.values


def usable(table) -> bool:
    """Whether a colour table can be read by."""
    return table is not None and not table.problem


def color_classes(source) -> dict[int, int]:
    """0xRRGGBB -> id of the colour table; empty without one."""
    return {} if source.colors is None else {r << 16 | g << 8 | b: i for (r, g, b), i in source.colors.colors}


def unknown_colors(source, reading: Reading, info: MaskInfo) -> tuple[tuple[int, int], ...]:
    """(0xRRGGBB, pixels) of the colours without a class, the most frequent first; () where classes are numbers."""
    if not reading.colors or info.form == 'gray':
        return ()
    pairs = [(c, n) for c, n, label in zip(info.colors, info.counts, labels_of(source, reading, info))
             if label == UNKNOWN]
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))


def unknown_values(source, reading: Reading, info: MaskInfo) -> list[int]:
    """Numbers outside the classes; [] where classes are colours."""
    if reading.colors or info.form == 'color':
        return []
    labels = labels_of(source, reading, info)
    return [v for v, label in zip(numbers_of(source, reading, info), labels) if label == UNKNOWN]


def _are_colors(source, info: Mapping[str, MaskInfo]) -> bool:
    if source.mask_colors == 'never':
        return False
    colored = sum(f.form == 'color' for f in info.values())
    if colored:  # a photograph that strayed among masks of numbers makes them no colours
        colors = Reading(colors=True)
        return usable(source.colors) and colored >= sum(
            f.form == 'gray' and UNKNOWN in labels_of(source, colors, f) for f in info.values())
    palettes = {path: f for path, f in info.items() if f.form == 'palette'}
    if source.mask_colors == 'always':
        table = color_classes(source)
        return bool(palettes) or bool(table) and all(
            v * 0x010101 in table for f in info.values() for v in f.shown)
    if not usable(source.colors):
        return False
    table = color_classes(source)
    wrong = [f for f in palettes.values() if mask_palettes.contradiction(source, f)]
    return bool(wrong) and all(code in table for f in wrong for code in f.colors)


def _stored_or_shown(source, info, differ) -> Reading | None:
    """Which of the two, of numbers in few bits; None = it cannot be told."""
    stored, levels = Reading(levels=False), Reading(levels=True)
    listed = mask_palettes.listed(source.label_map)
    few = {path: (set(f.values) - set(f.shown), set(f.shown) - set(f.values)) for path, f in differ.items()}
    as_stored = set().union(*(s for s, _ in few.values()))
    as_shown = set().union(*(s for _, s in few.values()))
    if listed is not None and (as_stored <= listed) != (as_shown <= listed):
        return stored if as_stored <= listed else levels
    wrong = {r: any(UNKNOWN in labels_of(source, r, f) for f in info.values())
             or bool(mask_palettes.problems(source, info, levels=bool(r.levels))) for r in (stored, levels)}
    if wrong[stored] != wrong[levels]:
        return levels if wrong[stored] else stored
    others = {v for path, f in info.items() if path not in differ for v in f.values if v}
    if not others & as_shown:
        return stored
    return levels if others <= as_shown else None


def _ambiguous(info, differ) -> dict[str, str]:
    other = next(path for path, f in info.items() if path not in differ and set(f.values) - {0})
    found = {}
    for path, f in differ.items():
        stored, shown = next((s, v) for s, v in zip(f.values, f.shown) if s != v)
        what = f'of {f.bits} bit{"s" * (f.bits > 1)} a pixel' if f.form == 'gray' else 'with a gray palette'
        found[path] = (f'{path}: a mask {what} beside masks of 8 bits such as {other}: is it {stored}, as '
                       f'stored, or {shown}, as shown?\nvalid: one depth for all masks, or --config.data.label_map '
                       f'with one of the two, such as 0:0,{shown}:1')
    return found


def no_colors(source, path: str, number: str | None = None) -> str:
    """The message of a colour mask that cannot be read. number: a mask of numbers beside it."""
    if usable(source.colors) and number:
        return (f'{path}: mask is a colour image among masks of class ids such as {number}\n'
                'valid: colours in all masks, or class ids in all')
    reader = source.name.partition(':')[0]
    if source.mask_colors == 'never':
        why = '--config.data.mask_colors=never refuses it'
    elif source.colors is None and reader not in READ_CLASSES:
        return (f'{path}: mask is a colour image, and --config.data.name={source.name} reads class ids alone\n'
                'valid: one channel of class ids (8-bit grayscale or palette PNG); --config.data.name=folder reads '
                'colours by classes.txt')
    else:
        why = source.colors.problem if source.colors else 'there is no classes.txt with colours'
    return (f'{path}: mask is a colour image, and {why}\n'
            'valid: one channel of class ids (8-bit grayscale or palette PNG), or classes.txt with '
            '`id name r g b` for every class and `255 void r g b` for colours to ignore')


def _gray_among_colors(source, path: str, info: MaskInfo, other: str) -> str:
    labels = labels_of(source, Reading(colors=True), info)
    values = [v for v, label in zip(info.shown, labels) if label == UNKNOWN]
    return (f'{path}: a gray mask among masks that are read by their colours, such as {other}; its gray level '
            f'{", ".join(map(str, values[:4]))} is no colour of classes.txt\n'
            'valid: colours in all masks, or class ids in all')


def in_words(reading: Reading) -> str:
    return 'colours' if reading.colors else 'gray levels as shown' if reading.levels else 'numbers as stored'
