"""What a run folder says, as one value; `run_files` reads it."""

import math
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """An evaluation: `file` is the name in eval/ without suffix, `values` its content."""

    file: str
    values: dict

    @property
    def checkpoint(self) -> str:
        """'best teacher' of test-best-teacher; for the last evaluation asked for, its step and weights."""
        parts = self.file.split('-')
        if len(parts) == 3:
            return f'{parts[1]}, {parts[2]}'
        return f'step {self.values.get("step", "?")}, {self.values.get("weights", "?")}'


@dataclass(frozen=True)
class Run:
    """What a run folder says.

    Attributes:
      path: the folder. config: dotted key -> value. info: content of run.json.
      lines: split -> lines of metrics.jsonl in order of step.
      test: the result on the test split, best checkpoint and teacher before all others, or None.
      cost: content of cost.json, {} when there is none.
      notes: what is unusual, for the page.
    """

    path: Path
    config: dict
    info: dict
    lines: dict[str, list[dict]]
    test: Result | None = None
    cost: dict = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def seed(self):
        return self.config.get('seed')

    @property
    def method(self) -> str:
        return str(self.config['method.name'])

    @property
    def classes(self) -> list[str]:
        return self.info['classes']

    @property
    def evaluated(self) -> str:
        """The split that was scored during training."""
        return self.config.get('eval.split', 'val')

    @property
    def step(self) -> int:
        """Of the last line; 0 when nothing was logged."""
        return max((lines[-1]['step'] for lines in self.lines.values()), default=0)

    @property
    def code(self) -> str:
        """Short hash of the commit, '+' behind it when the checkout had changes."""
        commit = str(self.info.get('git') or 'unknown')
        return commit[:10] + ('+' if commit.endswith('+') else '')

    def series(self, split: str, key: str) -> dict[int, float]:
        """Step -> value, where there is one."""
        found = {line['step']: number(line.get(key)) for line in self.lines.get(split, ())}
        return {step: value for step, value in found.items() if value is not None}

    def last(self, split: str) -> dict:
        """The last line of a split, {} when there is none."""
        return self.lines.get(split, [{}])[-1]


def number(value) -> float | None:
    """The value as a float; None for null, text and whatever is not finite."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
