"""Every key of the configuration as a table: default and meaning, read from where each key stands (`config/keys.py`,
and the terms' own in their files)."""

from s4mim_jax.config import keys


def leaves(config, prefix: str = '') -> dict[str, object]:
    """Dotted key -> default, in the order of `base()`."""
    found = {}
    for name, value in config.items():
        found |= leaves(value, f'{prefix}{name}.') if hasattr(value, 'items') else {prefix + name: value}
    return found


def meanings() -> dict[str, str]:
    """Dotted key -> what it means and what is valid."""
    config = keys.base()
    found = keys.keys_of(config.method)
    return {name: found[name].described() for name in leaves(config)}


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
