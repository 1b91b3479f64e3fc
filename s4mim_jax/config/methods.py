"""How a config file is put together: the method after the colon, ideas added to it, and settings.

Methods are the files of `configs/methods/`, and of `methods/` beside a config file of the user: `apply(config)` and, if
it can be added to a host, `extend(config)`.
`config.method.weighting` is set before either is called; they compose their weights by it.
"""

import importlib.util
from pathlib import Path

import ml_collections

from s4mim_jax.config import recipes, shipped
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.extensions import module_names
from s4mim_jax.config.keys import KEYS, adopt
from s4mim_jax.config.overrides import assign

WEIGHTINGS = KEYS['method.weighting'].choices


def compose(config, argument: str | None, file: str, default: str = 'unimatch', *, published=None, training=None):
    """Applies `METHOD[,key=value...]` to a dataset's config.

    Args:
      config: ConfigDict from `base()`, already adapted to the dataset.
      argument: what followed the colon in `--config=FILE:ARGUMENT`; None or '' = `default`. A method,
        or a host with ideas added to it: `unimatch+maskmatch`, `supervised+masksup`.
      file: the config file's `__file__`; methods are those of the package, and the files in `methods/` beside it.
      default: method when none is named.
      published: {'v1': Recipe, 'v2': Recipe} of `recipes`, applied before the method. training: recipes.Training.

    Returns:
      the same config. Keys of settings may leave out `data.` or `method.`: `split=1_8`, `tau=0.9`. Four more names:
      `recipe=v1|v2` where recipes are published, `hardware=16gb` (24gb, 40gb, 80gb; see `hardware`),
      `modules=ideas.entropy`, ideas from outside the package (see `extensions`), and `weighting=added|equal`, by
      which the methods set their weights: each idea added to the whole host, or all cross-entropies of one side
      sharing the weight that the host gives to it (the control).

    Raises:
      InputError: unknown method, unknown key, or a value of the wrong type.
    """
    method, *texts = split_argument(argument or default)
    method = method or default  # ',weighting=equal' has settings alone
    host, *added = [name.strip() for name in method.split('+')]
    where = f'--config={Path(file).name}:{argument}'
    apply_method = _method(host, file, where).apply
    settings = _settings(texts)
    recipe, device = settings.pop('recipe', None), settings.pop('hardware', None)
    weighting = settings.pop('weighting', None) or settings.pop('method.weighting', None)
    if weighting:
        if weighting not in WEIGHTINGS:
            raise InputError(f'weighting={weighting} in {where}\nvalid: {", ".join(WEIGHTINGS)}')
        config.method.weighting = weighting
    adopt(config, *module_names(settings.pop('modules', None) or settings.pop('method.modules', '')))
    if recipe and not published:
        raise InputError(f'recipe={recipe} in {where}: no recipes are published for this dataset')
    if published:
        name, chosen = recipes.choose(published, recipe, host)
        recipes.apply(config, name, chosen, training, settings.get('split', config.data.split))
    apply_method(config)
    if published and chosen.tau is not None:
        config.method.tau = chosen.tau
    for name in added:
        module = _method(name, file, where)
        if not hasattr(module, 'extend'):
            valid = [n for n in _methods(file) if hasattr(_method(n, file, where), 'extend')]
            raise InputError(f'{name!r} in {where} is a whole method and cannot be added to {host!r}\n'
                             f'valid after a +: {", ".join(valid)}')
        module.extend(config)
    config.method.name = '+'.join([host, *added])
    for key, value in settings.items():
        prefix = next((p for p in ('', 'data.', 'method.') if _has(config, p + key)), '')
        assign(config, prefix + key, value)
    if device:
        from s4mim_jax.planning.hardware import fit  # brings the networks with it
        fit(config, device)
    return config


def settings_of(argument: str) -> tuple[str, dict[str, str]]:
    """What stands behind the colon as (method, '' if none is named; settings by key)."""
    method, *texts = split_argument(argument)
    if '=' in method:
        method, texts = '', [method, *texts]
    return method, _settings(texts)


def _settings(texts: list[str]) -> dict[str, str]:
    settings = {}
    for text in texts:
        key, separator, value = text.partition('=')
        if not separator:
            raise InputError(f'setting {text!r} after the method has no value; write key=value')
        settings[key] = value
    return settings


def split_argument(argument: str) -> list[str]:
    """Parts between commas, where commas inside brackets do not count: `crop=(96, 96)` is one part."""
    parts, depth = [''], 0
    for character in argument:
        depth += (character in '([') - (character in ')]')
        if character == ',' and depth == 0:
            parts.append('')
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _methods(file: str) -> list[str]:
    return sorted(shipped.method_files(file))


def _method(name: str, file: str, where: str):
    """The module configs/methods/NAME.py: `apply(config)` and, if it can be added to a host, `extend(config)`."""
    if name not in _methods(file):
        raise InputError(f'unknown method {name!r} in {where}\nvalid methods: {", ".join(_methods(file))}')
    path = shipped.method_files(file)[name]
    spec = importlib.util.spec_from_file_location(f's4mim_jax_method_{name}', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _has(config, dotted: str) -> bool:
    node = config
    for part in dotted.split('.'):
        if not isinstance(node, ml_collections.ConfigDict) or part not in node:
            return False
        node = node[part]
    return True
