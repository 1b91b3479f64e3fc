"""A key of the configuration with what it means and what is valid, in one place."""

from typing import NamedTuple

from ml_collections import config_dict


class Key(NamedTuple):
    """One key: of `config/keys.py`, or as a term's `defaults()` gives it.

    default: its value and type. meaning: a line for people. choices: the valid values, () = any. least, most: bounds
    that are valid themselves. below: a bound that is not. kind: type of a key whose default is None, which may stay so.
    form: of a tuple. 'size': two positive integers; 'pair': 0 < low <= high, and the bounds are for high; '' = any.
    valid: what the message says in place of the bounds.
    """

    default: object
    meaning: str
    choices: tuple = ()
    least: float | None = None
    most: float | None = None
    below: float | None = None
    kind: type | None = None
    form: str = ''
    valid: str = ''

    def value(self):
        """What `base()` puts into the config."""
        return config_dict.placeholder(self.kind) if self.default is None else self.default

    def fault(self, value) -> str | None:
        """What would be valid, where `value` is not; None where it is."""
        if value is None or isinstance(value, (tuple, list)) and not self.form:
            return None
        if self.form == 'size':
            fits = len(value) == 2 and all(isinstance(side, int) and side > 0 for side in value)
            return None if fits else 'must be (height, width), two positive integers'
        if self.form == 'pair':
            if len(value) != 2 or not all(isinstance(v, (int, float)) for v in value) or not 0 < value[0] <= value[1]:
                return 'must be (low, high) with 0 < low <= high'
            value = value[1]
        if self.choices:
            return None if value in self.choices else 'valid: ' + ', '.join(map(str, self.choices))
        fault = self._out_of_bounds(value)
        return fault and (self.valid or fault)

    def _out_of_bounds(self, value) -> str | None:
        if self.least is not None and self.most is not None and not self.least <= value <= self.most:
            return f'must lie in {self.least:g} .. {self.most:g}'
        if self.least is not None and not value >= self.least:
            return f'must be at least {self.least:g}'
        if self.most is not None and not value <= self.most:
            return f'must be at most {self.most:g}'
        if self.below is not None and not value < self.below:
            return f'must be below {self.below:g}'
        return None

    def described(self) -> str:
        """The meaning with what is valid, as docs/keys.md shows it."""
        if self.choices:
            return f'{" | ".join(map(str, self.choices))}: {self.meaning}'
        if self.valid or self.form or self.below is not None and self.least is None:
            return self.meaning
        if self.below is not None:
            return f'{self.meaning}; from {self.least:g}, below {self.below:g}'
        if self.least is not None and self.most is not None:
            return f'{self.meaning}; {self.least:g} .. {self.most:g}'
        return self.meaning


def share(default: float, meaning: str) -> Key:
    """A number in 0..1."""
    return Key(default, meaning, least=0.0, most=1.0)


def positive(default: int, meaning: str) -> Key:
    """A number from 1 on."""
    return Key(default, meaning, least=1)


def choice(default, meaning: str, *choices) -> Key:
    """One of several values."""
    return Key(default, meaning, choices)


def size(default: tuple[int, int] | None, meaning: str) -> Key:
    """(height, width) in pixels."""
    return Key(default, meaning, kind=tuple, form='size')


def pair(default: tuple[float, float], meaning: str, **bounds) -> Key:
    """(low, high), both above 0; the bounds are for high."""
    return Key(default, meaning, form='pair', **bounds)
