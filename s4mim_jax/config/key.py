"""A key of the configuration with what it means and what is valid, in one place."""

from typing import NamedTuple

from ml_collections import config_dict


class Key(NamedTuple):
    """One key, as a term's `defaults()` gives it.

    default: its value and type. meaning: a line for people. choices: the valid values, () = any. least, most: bounds
    that are valid themselves. below: a bound that is not. kind: type of a key whose default is None, which may stay so.
    """

    default: object
    meaning: str
    choices: tuple = ()
    least: float | None = None
    most: float | None = None
    below: float | None = None
    kind: type | None = None

    def value(self):
        """What `base()` puts into the config."""
        return config_dict.placeholder(self.kind) if self.default is None else self.default

    def fault(self, value) -> str | None:
        """What would be valid, where `value` is not; None where it is."""
        if value is None or isinstance(value, tuple):
            return None
        if self.choices and value not in self.choices:
            return 'valid: ' + ', '.join(map(str, self.choices))
        if self.least is not None and self.most is not None:
            return None if self.least <= value <= self.most else f'must lie in {self.least:g} .. {self.most:g}'
        if self.least is not None and not value >= self.least:
            return f'must be at least {self.least:g}'
        if self.most is not None and not value <= self.most:
            return f'must be at most {self.most:g}'
        if self.below is not None and not value < self.below:
            return f'must be below {self.below:g}'
        return None


def share(default: float, meaning: str) -> Key:
    """A number in 0..1."""
    return Key(default, meaning, least=0.0, most=1.0)
