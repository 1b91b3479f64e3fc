"""`s4mim_jax.get_config`: the config that a command line would have, in Python."""

from collections.abc import Mapping
from pathlib import Path

from s4mim_jax import models
from s4mim_jax.config.command_line import fixed_keys, load_config
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.pretrained.take_over import take_over

_PACKAGE = Path(__file__).resolve().parents[1]
# Where a dataset's config file is looked for: here, in the package, and beside it in a checkout.
PLACES = (Path('configs'), _PACKAGE / 'configs', _PACKAGE.parent / 'configs')


def get_config(name: str, overrides: Mapping[str, object] | None = None, **keys):
    """The whole config of a dataset and a method.

    Args:
      name: 'DATASET:METHOD' with settings as after `--config=configs/`, such as 'camvid:s4mim,split=1_8', or
        the path of a config file with the same after its colon.
      overrides: dotted key -> value, such as {'model.encoder': 'resnet18', 'batch.labeled': 4}.
      keys: keys of the top level, such as total_steps=200.

    Returns:
      a locked ConfigDict; a field can still be set, and `config.unlock()` lets new ones in. With a weights file as
      `model.pretrained` it has what that says of itself (stem, padding, ..), which is printed.

    Raises:
      InputError: no such dataset, method or key, or a value that does not fit.
    """
    file, separator, argument = str(name).partition(':')
    texts = [(key, value if isinstance(value, str) else repr(value))
             for key, value in {**(overrides or {}), **keys}.items()]
    text = f'{_find(file)}{separator}{argument}'
    config = load_config(text, texts)
    validate(config)
    for line in take_over(config, fixed_keys(text, texts)):
        print(line, flush=True)
    models.validate(config.model)
    return config


def _find(name: str) -> Path:
    if name.endswith('.py'):
        return Path(name)
    for place in PLACES:
        if (place / f'{name}.py').is_file():
            return place / f'{name}.py'
    known = sorted({path.stem for place in PLACES for path in place.glob('*.py')})
    raise InputError(f'no config named {name!r}\nvalid: {", ".join(known)}, each with :METHOD behind it, or a path')
