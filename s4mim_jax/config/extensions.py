"""Ideas from outside the package: modules that a config names, each with a term, views, or both.

`method.modules=('ideas.entropy',)` imports `ideas/entropy.py` from where Python looks (the folder that a command is
started in, PYTHONPATH). A module with `loss` is a term by its last name, here `entropy`; rows of `VIEWS` join the
table of views. Nothing is registered for good: two configs of one process do not see each other's ideas.
"""

import importlib
import re

from s4mim_jax.config.errors import InputError


def module_names(text: str) -> tuple[str, ...]:
    """`ideas.entropy`, `ideas.entropy+ideas.bank` or `('ideas.entropy', 'ideas.bank')` -> names of modules."""
    return tuple(name for name in (part.strip(' \'"') for part in re.split(r'[+,]', text.strip('()[] '))) if name)


def extensions(method) -> dict[str, object]:
    """The modules of a `config.method`, by the last part of their names, in the config's order.

    Raises:
      InputError: a module that cannot be imported, or two of one name.
    """
    found = {}
    for path in method.modules:
        name = path.rpartition('.')[2]
        if name in found:
            raise InputError(f'--config.method.modules={tuple(method.modules)}: two modules are named {name}')
        try:
            found[name] = importlib.import_module(path)
        except ImportError as error:
            raise InputError(f'--config.method.modules={tuple(method.modules)}: {path} cannot be imported ({error})\n'
                             'valid: modules below the folder that the command is started in, or on PYTHONPATH'
                             ) from None
    return found
