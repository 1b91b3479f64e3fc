"""How every command line starts: flags, config overrides, and errors without a traceback."""

import contextlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path

from absl import app, flags, logging

from s4mim_jax.config import shipped, terminal
from s4mim_jax.config.errors import InputError, unforeseen
from s4mim_jax.config.extensions import module_names
from s4mim_jax.config.overrides import assign

CONFIG_HELP = ('config file, optionally with method and settings: configs/camvid.py:unimatch,split=1_8. '
               'Any key can be overridden: --config.total_steps=200')

_FOLDERS = ('workdir', 'output')  # flags that name a place
_NATIVE = 'TF_CPP_MIN_LOG_LEVEL'  # of XLA and TensorFlow, read at their first message
_PATH_KEYS = ('data.dir', 'model.pretrained')
INTERRUPTED = 130  # the shell's status after Ctrl-C


# Keys that decide how a method is put together, not only how it runs.
COMPOSING = ('method.weighting', 'method.modules')


def run(main: Callable, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Parses the command line, calls `main(positional, config_file, overrides)` and exits.

    Args:
      main: receives the positional arguments, the text of `--config` (None when absent) and the
        overrides as a list of (dotted key, text); returns an exit status or None.
      flag_values: where the module defined its other flags.

    Exit status: main's, or with a short message 2 for an InputError and a wrong flag, 4 for a StorageError, 130 after
    Ctrl-C, 1 for what nobody has foreseen, whose traceback goes to a file that the message names.
    """
    for stream in (sys.stdout, sys.stderr):
        # Names of classes and files come in every script, and the terminals of schedulers in ASCII.
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')
    app.define_help_flags()
    logging.set_verbosity(logging.ERROR)  # Orbax tells its whole life
    if os.environ.get(_NATIVE, '1') == '1':  # which JAX sets when it is imported; 0 and 2 are the user's own
        os.environ[_NATIVE] = '3'  # banners, and alarms of a slow compilation, which we count the seconds of
    os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
    caught = {}

    def parse(argv):
        rest, caught['config'], caught['overrides'] = split_config_flags(argv)
        try:
            rest = flag_values(rest)
        except flags.Error as error:
            raise SystemExit(_fail(error)) from None
        for name in _FOLDERS:
            if name in flag_values and flag_values[name].value:
                flag_values[name].value = os.path.expanduser(flag_values[name].value)
        return [rest[0], *map(os.path.expanduser, rest[1:])]

    def call(argv):
        try:
            return main(argv[1:], caught['config'], caught['overrides'])
        except InputError as error:
            return _fail(error)
        except KeyboardInterrupt:
            return _fail('interrupted', INTERRUPTED)
        except BrokenPipeError:  # `| head` has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            return _fail(unforeseen(error, flag_values['workdir'].value if 'workdir' in flag_values else None), 1)

    try:
        app.run(call, flags_parser=_guard(parse))
    except InputError as error:
        sys.exit(_fail(error))


def _guard(parse):
    def guarded(argv):
        try:
            return parse(argv)
        except InputError as error:
            raise SystemExit(_fail(error)) from None
    return guarded


def _fail(error, status: int | None = None) -> int:
    terminal.end()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    print(f'error: {error}', file=sys.stderr, flush=True)
    return getattr(error, 'status', 2) if status is None else status


def split_config_flags(argv: list[str]):
    """Takes `--config=FILE` and `--config.KEY=VALUE` (or `--config.KEY VALUE`) out of argv.

    Returns:
      (remaining argv, config file text or None, [(dotted key, value text), ...]).
    """
    rest, config_file, overrides = [], None, []
    items = iter(argv)
    for item in items:
        name = item.lstrip('-')
        if not item.startswith('-') or not (name == 'config' or name.startswith(('config=', 'config.'))):
            rest.append(item)
            continue
        key, separator, value = name.partition('=')
        if not separator:
            value = next(items, None)
            if value is None:
                raise InputError(f'{item} needs a value: {item}=VALUE')
        if key == 'config':
            config_file = value
        else:
            overrides.append((key.removeprefix('config.'), value))
    return rest, config_file, overrides


def refuse_arguments(positional: list[str]) -> None:
    """Raises InputError for arguments without a name, of a command that takes none."""
    if positional:
        raise InputError(f'unexpected argument {positional[0]!r}; options are written --name=value')


def refuse_config(config_file: str | None, command: str) -> None:
    """Raises InputError for a config file, of a command that works on a run folder."""
    if config_file:
        raise InputError(f'--config={config_file}: {command} takes its config from --workdir; '
                         'single keys are set by --config.KEY=VALUE')


def load_config(text: str | None, overrides: list[tuple[str, str]]):
    """The ConfigDict of `FILE[:ARGUMENT]` with the overrides applied.

    Raises:
      InputError: no file, not a config file, unknown method or key, value of the wrong type.
    """
    if not text:
        raise InputError('--config is missing; for example --config=configs/shapes.py:unimatch')
    name, _, argument = text.partition(':')
    path = shipped.find(name)
    if path is None:
        folder = Path(name).parent
        near = sorted(p.as_posix() for p in folder.glob('*.py')) if folder.is_dir() else []
        own = sorted(p.name for p in shipped.folder().glob('*.py') if p.stem != '__init__')
        raise InputError(f'--config={text}: no file {name}\nconfig files there: {", ".join(near) or "none"}; '
                         f'of the package: {", ".join(f"configs/{n}" for n in own)}')
    for key, value in overrides:
        if key in COMPOSING:  # a method's file sets its weights by them
            argument = f'{argument},{key.removeprefix("method.")}={value}'
    spec = importlib.util.spec_from_file_location(f's4mim_jax_config_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        wants = len(inspect.signature(module.get_config).parameters)  # configs/auto.py asks what else is set
        config = module.get_config(*(argument or None, overrides)[:wants])
    except InputError:
        raise
    except Exception as error:  # whatever the user's file raises is an error of that file
        message = str(error).partition('\n')[0]
        raise InputError(f'--config={name}: the config file fails: {type(error).__name__}: {message}') from None
    for key, value in overrides:
        if key in _PATH_KEYS:
            value = os.path.expanduser(value)  # the shell leaves --config.data.dir=~/images as it is
        if key == 'method.name':
            raise InputError('--config.method.name only labels a run; name the method after the colon: '
                             f'--config={name}:{value}')
        if key in COMPOSING:
            found = config.method[key.removeprefix('method.')]
            if found not in (value, module_names(value)):
                raise InputError(f'--config.{key}={value}: {name} does not compose its method; set it there')
        else:
            assign(config, key, value)
    return config.lock()


def fixed_keys(text: str | None, overrides: list[tuple[str, str]]) -> set[str]:
    """Dotted keys that a command line sets: by --config.KEY, or behind the method (`:fixmatch,model.stem=deep`)."""
    from s4mim_jax.config.methods import split_argument  # brings the terms, and JAX with them
    settings = split_argument((text or '').partition(':')[2])[1:]
    return {key for key, _ in overrides} | {setting.partition('=')[0].strip() for setting in settings}


def compilation_cache(workdir: str) -> None:
    """Keeps compiled programs beside the run folder, so that a second start is quick.

    The folder is `.jax_cache` in the workdir's parent, or JAX_COMPILATION_CACHE_DIR. Every program is kept: some thirty
    small ones come before the first step, none worth a file by JAX's own rule, and together they take seconds.
    """
    import jax
    if not os.environ.get('JAX_COMPILATION_CACHE_DIR'):
        # Only a path on a disk can be relative: gs://bucket/run has its parent as it stands.
        parent = workdir.rstrip('/').rpartition('/')[0] if '://' in workdir else Path(workdir).absolute().parent
        jax.config.update('jax_compilation_cache_dir', f'{parent}/.jax_cache')
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
