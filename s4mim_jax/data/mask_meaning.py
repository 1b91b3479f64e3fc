"""What is settled about the masks of a dataset, and masks read by it, each checked as the scan checks it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data import mask_palettes
from s4mim_jax.data.files.mask_colors import color_ids, unpacked
from s4mim_jax.data.files.mask_file import StoredMask, read_mask
from s4mim_jax.data.files.mask_info import MaskInfo, info_of
from s4mim_jax.data.mask_reading import (
    UNKNOWN,
    Reading,
    check,
    decide,
    id_lookup,
    in_words,
    labels_of,
    unknown_colors,
    unknown_values,
)

_OTHERS = 'the other masks of the dataset'


@dataclass
class MaskMeaning:
    """What is settled so far about the masks of a source, and by which files.

    Attributes:
      reading: None until a mask was looked at.
      info: of the masks that it rests on, by path.
      recorded: the reading is that of a run, and stays.
      palette: what the palettes of the masks agree on, as one mask; None where none has one, or classes are colours.
    """

    reading: Reading | None = None
    info: dict[str, MaskInfo] = field(default_factory=dict)
    recorded: bool = False
    palette: MaskInfo | None = None

    def settle(self, source, info: Mapping[str, MaskInfo]) -> dict[str, str]:
        """Takes more masks into account.

        Args:
          source: the dataset. info: of masks, by path.

        Returns:
          {path: message} of the masks that do not fit the one reading. Colours and values that no class has are not
          among them, see `labels_of`.
        """
        known = self.info | dict(info)
        if self.recorded and (self.reading.colors or self.reading.levels is not None):
            self._keep(self.reading, known)
            return {p: m for p, m in check(source, self.reading, known).items() if p in info}
        reading, problems = decide(source, known)
        if self.reading not in (None, reading):  # what was read before must not change its meaning
            changed = next((path for path, f in self.info.items() if
                            labels_of(source, self.reading, f) != labels_of(source, reading, f)), None)
            if changed or self.recorded and reading.colors:
                there, reading = reading, self.reading
                problems = check(source, reading, known)
                if not problems:
                    path = next(iter(info))
                    problems = {path: f'{path}: with this mask the dataset would be read as {in_words(there)}, but '
                                      f'{changed or "those of the run"} is read as {in_words(reading)}\n'
                                      'valid: one kind of masks in a dataset'}
        self._keep(reading, known)
        return {path: message for path, message in problems.items() if path in info}

    def _keep(self, reading: Reading, known: dict[str, MaskInfo]) -> None:
        self.reading, self.info = reading, known
        colors = {} if reading.colors else mask_palettes.entries(known)
        self.palette = _palette_mask(colors) if colors else None

    def problems(self, source, path: str, info: MaskInfo) -> str | None:
        """What is wrong with a mask that is read after the scan."""
        if self.reading is None:
            return decide(source, {path: info})[1].get(path)
        others = {_OTHERS: self.palette} if self.palette and info.form == 'palette' else {}
        return check(source, self.reading, others | {path: info}).get(path)

    def notes(self, source) -> list[str]:
        """How the masks are read, where that is not by plain numbers, and what of them has no class."""
        notes, hidden = [], {p: f.hidden for p, f in self.info.items() if f.hidden}
        if self.reading and self.reading.colors:
            notes.append('masks are read by their colours' + (
                ', palettes too' if any(f.form == 'palette' for f in self.info.values()) else ''))
        elif self.reading and self.reading.levels:
            notes.append('masks of few bits are read by the gray level that they show')
        if hidden:
            notes.append(f'{sum(hidden.values())} transparent pixels in {len(hidden)} masks have no class and are '
                         f'ignored, e.g. in {next(iter(hidden))}')
        return notes

    def record(self, source) -> dict:
        """For run.json: the reading, and the palette of the numbers."""
        reading = self.reading or Reading()
        entries = dict(zip(self.palette.values, self.palette.colors)) if self.palette else {}
        return {'read_as': 'colors' if reading.colors else 'numbers', 'levels': reading.levels,
                'palette': {str(i): list(unpacked(code)) for i, code in sorted(entries.items())},
                'values': id_lookup(source) if reading.colors else [int(v) for v in source.lookup]}

    def adopt(self, record: dict | None) -> None:
        """Goes on with what a run has settled and recorded; None = a run of a version that recorded nothing."""
        if not record:
            return
        self.reading, self.recorded = Reading(record['read_as'] == 'colors', record['levels']), True
        if record['palette']:
            self.palette = _palette_mask({int(i): r << 16 | g << 8 | b for i, (r, g, b) in record['palette'].items()})
            self.info[_OTHERS] = self.palette


def _palette_mask(colors: dict[int, int]) -> MaskInfo:
    return MaskInfo(0, 0, 'other', tuple(colors), 'palette', 8, tuple(colors.values()), (1,) * len(colors))


def read_labels(source, data: bytes, name: str) -> np.ndarray:
    """Labels of a mask, checked as the scan checks it: a scan that is remembered cannot hide a mask that has changed.

    Args:
      source: the dataset. data: encoded bytes. name: for messages.

    Returns:
      uint8 [H, W], class ids and IGNORE.

    Raises:
      InputError: as `read_mask`, or a mask that does not fit the dataset's reading or classes.
    """
    mask = read_mask(data, name)
    info = info_of(mask)
    reading = source.masks.reading or decide(source, {name: info})[0]
    if problem := source.masks.problems(source, name, info):
        raise InputError(problem)
    if unknown := unknown_colors(source, reading, info):
        raise InputError(f'{name}: colours that classes.txt does not list: '
                         + ', '.join(f'{unpacked(code)} in {count} pixels' for code, count in unknown[:4]))
    labels = labels_of(source, reading, info)
    if UNKNOWN in labels:
        values = unknown_values(source, reading, info) or [v for v, label in zip(info.values, labels) if label < 0]
        raise InputError(f'{name}: mask values {", ".join(map(str, values[:6]))} are outside the '
                         f'{len(source.classes)} classes\nwas it changed after the check?')
    return _apply(source, mask, info, labels)


def _apply(source, mask: StoredMask, info: MaskInfo, labels: list[int]) -> np.ndarray:
    if mask.numbers is None:
        found = np.array(id_lookup(source), np.uint8)[color_ids(mask.rgb, source.colors)[0]]
    else:
        table = np.full(256, IGNORE, np.uint8)
        table[list(info.values)] = labels
        found = table[mask.numbers]
    if mask.hidden is not None:
        found[mask.hidden] = IGNORE
    return found
