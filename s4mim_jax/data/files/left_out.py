"""What lies in a dataset's folders and is not used: counted, with an example, so that nothing goes in silence."""

from collections.abc import Iterable
from dataclasses import dataclass

SHOWN = 12  # lines of the start-up text
NOT_FOUND = 'images whose mask was not found'


@dataclass(frozen=True)
class LeftOut:
    """count: how many. what: in words. where: the folder. example: one of them, below the folder."""

    count: int
    what: str
    where: str
    example: str

    def __str__(self) -> str:
        return f'{self.where}: {self.count} {self.what}, e.g. {self.example}'


class Tally:
    """Counts what is left out of one folder.

    Attributes:
      where: the folder. unreadable: folders in it that may not be read.
    """

    def __init__(self, where: str):
        self.where, self.unreadable = str(where), []
        self._found: dict[str, list] = {}

    def add(self, what: str, example: str, count: int = 1) -> None:
        entry = self._found.setdefault(what, [0, example])
        entry[0] += count

    def result(self) -> tuple[LeftOut, ...]:
        """Most first."""
        found = [LeftOut(count, what, self.where, example) for what, (count, example) in self._found.items()]
        return tuple(sorted(found, key=lambda entry: (-entry.count, entry.what)))


def as_lines(entries: Iterable[LeftOut]) -> list[str]:
    """For people; [] of a clean dataset."""
    entries = list(entries)
    lines = [f'not used: {entry}' for entry in entries[:SHOWN]]
    if len(entries) > SHOWN:
        lines.append(f'and {len(entries) - SHOWN} more kinds, all listed by s4mim_jax.data.check')
    return lines
