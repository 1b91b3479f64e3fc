"""What benchmarks/step.py measures: the cross product of its lists, in groups that fit in memory together."""

import argparse
import itertools
from typing import NamedTuple

from s4mim_jax.config.command_line import load_config
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.keys import KEYS
from s4mim_jax.config.precision import with_precision
from s4mim_jax.config.validation import validate


class Setting(NamedTuple):
    """What the methods of one table share. None: as in the config file. crop: (height, width)."""

    encoder: str | None
    precision: str | None
    crop: tuple[int, int] | None

    def overrides(self) -> list[tuple[str, str]]:
        keys = {'model.encoder': self.encoder, 'precision': self.precision, 'data.crop': self.crop}
        return [(key, str(value)) for key, value in keys.items() if value is not None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that span the grid."""
    parser.add_argument('--config', default='configs/camvid.py')
    parser.add_argument('--methods', type=methods, default=methods('supervised,fixmatch,unimatch,unimatch_v2'),
                        help='METHOD[,key=value...],METHOD...; the first one is what the others are compared with')
    parser.add_argument('--encoders', type=words, default=(None,), help='default: that of the config')
    parser.add_argument('--precisions', type=precisions, default=(None,), help='float32, bfloat16 or both')
    parser.add_argument('--crops', type=crops, default=(None,), help='HEIGHTxWIDTH, several by commas')
    parser.add_argument('--batch', type=positive, help='labelled and as many unlabelled crops a step')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', help='an override of the config')


def methods(text: str) -> tuple[str, ...]:
    """`a,b,key=1,c` -> ('a', 'b,key=1', 'c'): what has a value belongs to the method before it."""
    found: list[str] = []
    depth = 0
    for part in text.split(','):  # commas inside brackets separate nothing: scales=(1.0,)
        if found and (depth or '=' in part):
            found[-1] += ',' + part
        else:
            found.append(part.strip())
        depth += part.count('(') - part.count(')')
    if not all(found) or '=' in found[0].partition(',')[0]:
        raise argparse.ArgumentTypeError(f'{text!r}: valid is METHOD[,key=value...],METHOD...')
    return tuple(dict.fromkeys(found))


def words(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip() for part in text.split(',')))
    if not all(found):
        raise argparse.ArgumentTypeError(f'{text!r}: an entry is empty')
    return found


def precisions(text: str) -> tuple[str, ...]:
    found = words(text)
    if not set(found) <= set(KEYS['precision'].choices):
        raise argparse.ArgumentTypeError(f'{text!r}: valid are {", ".join(KEYS["precision"].choices)}')
    return found


def crops(text: str) -> tuple[tuple[int, int], ...]:
    sizes = [tuple(part.lower().split('x')) for part in words(text)]
    if not all(len(size) == 2 and all(side.isdecimal() and int(side) for side in size) for size in sizes):
        raise argparse.ArgumentTypeError(f'{text!r}: valid are sizes such as 321x321,128x160')
    return tuple((int(height), int(width)) for height, width in sizes)


def positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'{text!r}: valid is a positive integer')
    return int(text)


def overrides(texts: list[str]) -> list[tuple[str, str]]:
    """`KEY=VALUE` texts as (key, value).

    Raises:
      InputError: one has no value.
    """
    for text in texts:
        if '=' not in text:
            raise InputError(f'--set {text}: no value; write --set KEY=VALUE')
    return [tuple(text.split('=', 1)) for text in texts]


def configs(arguments) -> dict[Setting, dict[str, object]]:
    """Setting -> method -> validated config, in the order of the lists.

    Raises:
      InputError: a config file, method, key or value that cannot be used.
    """
    fixed = overrides(arguments.set)
    if arguments.batch:
        fixed += [('batch.labeled', str(arguments.batch)), ('batch.unlabeled', str(arguments.batch))]
    grid = {}
    for axes in itertools.product(arguments.encoders, arguments.precisions, arguments.crops):
        setting = Setting(*axes)
        grid[setting] = {}
        for method in arguments.methods:
            config = load_config(f'{arguments.config}:{method}', fixed + setting.overrides())
            validate(config)
            grid[setting][method] = with_precision(config)
    return grid


def groups(names: list[str], held: int) -> list[list[str]]:
    """Methods that are in memory together, at most `held`: the first of all, and some of the others.

    The first takes part in every group, so that each other method is compared with it round by round.
    """
    first, *others = names
    size = held - 1
    return [[first, *others[i:i + size]] for i in range(0, len(others), size)] or [[first]]
