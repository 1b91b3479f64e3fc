"""Command-line overrides of single keys: `--config.optimizer.learning_rate=0.01`.

ml_collections holds the config; the assignment is ours because the stock flag parser cannot
override without a `--config` (evaluate and predict take theirs from the run folder) and ends a
wrong key with a traceback.
"""

import ast
import difflib

import ml_collections
from ml_collections import config_dict

from s4mim_jax.config.errors import InputError


def assign(config: ml_collections.ConfigDict, dotted: str, text: str) -> None:
    """Sets `config.<dotted>` from text, with the type that the key has.

    Raises:
      InputError: no such key (near matches are named) or text of another type.
    """
    node, parts = config, dotted.split('.')
    for depth, part in enumerate(parts):
        if not isinstance(node, ml_collections.ConfigDict) or part not in node.keys():
            _unknown(node, parts[:depth], part, dotted)
        if depth < len(parts) - 1:
            node = node[part]
    key = parts[-1]
    if isinstance(node[key], ml_collections.ConfigDict):
        raise InputError(f'--config.{dotted} is a group; its keys: {", ".join(sorted(node[key]))}')
    # A placeholder stays a reference after it was set: only such a key takes None.
    optional = isinstance(node._fields.get(key), config_dict.FieldReference)  # pylint: disable=protected-access
    node[key] = parse(text, node.get_type(key), f'--config.{dotted}', optional=optional)


def _unknown(node, parents, part, dotted):
    known = sorted(node.keys()) if isinstance(node, ml_collections.ConfigDict) else []
    near = difflib.get_close_matches(part, known, n=1)
    hint = f'; did you mean {near[0]!r}?' if near else ''
    where = 'config' + ''.join('.' + p for p in parents)
    valid = f'keys of {where}: {", ".join(known)}' if known else f'{where} is a value, not a group'
    raise InputError(f'unknown config key {dotted!r}{hint}\n{valid}')


def parse(text: str, kind: type, name: str, *, optional: bool = False):
    """Text -> a value of type `kind` (bool, int, float, str, tuple); 'None' where optional.

    Raises:
      InputError: naming `name`, the text and the type.
    """
    if optional and text.strip() in ('None', 'none', ''):
        return None
    if kind is str:
        return text
    if kind is bool:
        lowered = text.strip().lower()
        if lowered in ('true', '1', 'yes'):
            return True
        if lowered in ('false', '0', 'no'):
            return False
        raise InputError(f'{name}={text}: expected true or false')
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        raise InputError(f'{name}={text}: expected {_article(kind)}') from None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f'{name}={text}: expected {_article(kind)}')
    return value


def _article(kind: type) -> str:
    return {int: 'an integer', float: 'a number', tuple: 'a tuple such as "(128, 160)"'}.get(
        kind, kind.__name__)
