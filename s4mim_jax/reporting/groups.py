"""Runs that differ in their seed alone are a group; a group has a name, a colour and numbers over seeds."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from s4mim_jax.reporting.runs import Run, number

# Okabe and Ito's colours without yellow, which white paper swallows; then again with other lines.
COLORS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
DASHES = ((0, ()), (0, (5, 2)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
SHOWN = 3  # settings in a name


@dataclass(frozen=True)
class Group:
    """Runs of one config, in order of seed. `dashes` is a line style of matplotlib."""

    name: str
    runs: tuple[Run, ...]
    color: str
    dashes: tuple

    @property
    def first(self) -> Run:
        return self.runs[0]

    @property
    def dataset(self) -> str:
        """Name of the reader, with the folder's name where the reader is for any folder."""
        name, folder = self.first.config['data.name'], self.first.config.get('data.dir')
        return f'{name} ({Path(folder).name})' if name == 'folder' and folder else str(name)

    @property
    def split(self) -> str:
        return str(self.first.info['split'].get('name', self.first.config.get('data.split')))

    def by_seed(self, function: Callable[[Run], float | None]) -> dict:
        """Seed -> number of the run."""
        return {run.seed: function(run) for run in self.runs}


def final_score(run: Run) -> float | None:
    """mIoU of the last evaluation during training."""
    return number(run.last(run.evaluated).get('miou'))


def best_score(run: Run) -> float | None:
    """The largest mIoU that an evaluation during training gave."""
    return max(run.series(run.evaluated, 'miou').values(), default=None)


def test_score(run: Run) -> float | None:
    """mIoU on the test split, see `Run.test`."""
    return number(run.test.values['miou']) if run.test else None


def make_groups(runs: list[Run]) -> tuple[list[Group], list[str]]:
    """Groups in the order in which their first run was found.

    Returns:
      (groups, a note for every run left out because another one has its config and seed: counted
      twice it would make the spread over seeds smaller than it is).
    """
    bundles: list[tuple[dict, dict]] = []  # (config without seed, seed -> run)
    notes = []
    for run in runs:
        config = {key: value for key, value in run.config.items() if key != 'seed'}
        members = next((members for known, members in bundles if known == config), None)
        if members is None:
            members = {}
            bundles.append((config, members))
        other = members.setdefault(run.seed, run)
        if other is not run:
            kept, dropped = (run, other) if run.step > other.step else (other, run)
            members[run.seed] = kept
            notes.append(f'{dropped.path} is left out: config and seed are those of {kept.path}')
    names = _names([config for config, _ in bundles])
    order = lambda seed: (not isinstance(seed, int), seed if isinstance(seed, int) else str(seed))
    groups = [Group(name, tuple(members[seed] for seed in sorted(members, key=order)),
                    COLORS[i % len(COLORS)], DASHES[i // len(COLORS) % len(DASHES)])
              for i, (name, (_, members)) in enumerate(zip(names, bundles))]
    return groups, notes


def _names(configs: list[dict]) -> list[str]:
    """Method, and in brackets the settings in which groups of that method differ; dataset and split
    also where groups of different methods differ in them. No two names are the same."""
    names = []
    for config in configs:
        same = [other for other in configs if other['method.name'] == config['method.name']]
        differs = lambda key, others: any(c.get(key, 'absent') != config.get(key, 'absent') for c in others)
        keys = sorted({key for other in same for key in other.keys() | config.keys() if differs(key, same)}, key=_rank)
        everywhere = [key for key in ('data.name', 'data.split') if differs(key, configs)]
        keys = everywhere + [key for key in keys if key not in everywhere]
        shown = [f'{key.removeprefix("data.").removeprefix("method.")}={_text(config.get(key, "absent"))}'
                 for key in keys[:max(SHOWN, len(everywhere))]]
        if len(keys) > len(shown):
            shown.append(f'{len(keys) - len(shown)} more')
        names.append(f'{config["method.name"]} ({", ".join(shown)})' if shown else str(config['method.name']))
    repeated, seen = Counter(names), Counter()
    for index, name in enumerate(names):
        if repeated[name] > 1:
            seen[name] += 1
            names[index] = f'{name} #{seen[name]}'
    return names


def _rank(key: str) -> tuple:
    """What a reader wants to know first: the split, then the method, then the rest."""
    return not key.startswith('data.split'), not key.startswith('method.'), key


def _text(value) -> str:
    return '(' + ', '.join(map(_text, value)) + ')' if isinstance(value, (list, tuple)) else str(value)
