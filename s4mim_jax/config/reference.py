"""Every key of the configuration as a table: default and meaning, read from where each key stands.

The meaning of a term's key is that of its `Key`; of the others it is the comment on their line in `config/keys.py`.
"""

import ast
import inspect
import io
import tokenize

from s4mim_jax import terms
from s4mim_jax.config import keys
from s4mim_jax.views.table import VIEWS


def leaves(config, prefix: str = '') -> dict[str, object]:
    """Dotted key -> default, in the order of `base()`."""
    found = {}
    for name, value in config.items():
        found |= leaves(value, f'{prefix}{name}.') if hasattr(value, 'items') else {prefix + name: value}
    return found


def comments() -> dict[str, str]:
    """Dotted key -> the comment on its line in `base()`; keys whose line has none are left out."""
    source = inspect.getsource(keys.base)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    told = {token.start[0]: token.string.lstrip('# ') for token in tokens
            if token.type == tokenize.COMMENT and token.line.strip() != token.string}
    found = {}
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Assign):
            continue
        group = ast.unparse(node.targets[0]).partition('.')[2]  # `config.method.masks` -> method.masks
        inner = [word for call in ast.walk(node.value) if isinstance(call, ast.Call) for word in call.keywords]
        places = [(f'{group}.{word.arg}', word.value.end_lineno) for word in inner] or [(group, node.end_lineno)]
        found |= {key: told[line] for key, line in places if line in told}
    return found


def meanings() -> dict[str, str]:
    """Dotted key -> what it means, '' where nothing is said."""
    said = comments()
    for name, term in terms.TERMS.items():
        said |= {f'method.{key}': _bounded(value) for key, value in terms.keys(name, term).items()}
    for row in VIEWS:
        if row.mask:
            said |= {f'method.masks.{row.mask}_kind': f'mask of {row.name}: grid | freeform',
                     f'method.masks.{row.mask}_ratio': f'hidden share of a grid over {row.name}'}
    return {key: said.get(key, '') for key in leaves(keys.base())}


def _bounded(key) -> str:
    if key.choices:
        return f'{key.meaning}: {" | ".join(map(str, key.choices))}'
    if key.least is not None and key.most is not None:
        return f'{key.meaning}; {key.least:g} .. {key.most:g}'
    return key.meaning


def table() -> str:
    """All keys as a Markdown table: | key | default | meaning |."""
    said = meanings()
    rows = [f'| `{key}` | `{_shown(value)}` | {said[key].replace("|", "&#124;")} |'
            for key, value in leaves(keys.base()).items()]
    return '\n'.join(['| key | default | meaning |', '|---|---|---|', *rows]) + '\n'


def _shown(value) -> str:
    if isinstance(value, tuple):
        return '(' + ', '.join(map(_shown, value)) + (',)' if len(value) == 1 else ')')
    return f'{value:.6g}' if isinstance(value, float) else str(value) or "''"


if __name__ == '__main__':
    print(table(), end='')
