"""Own images in one call: proposes a config, trains, evaluates, predicts, and ends with one page.

    python -m s4mim_jax.fit FOLDER --output=RUN [--minutes=30] [--config.key=value ...] [--plan_only]

`import s4mim_jax; predictor = s4mim_jax.fit(FOLDER)` is the same in Python.
"""

import sys
import types
from pathlib import Path

from absl import flags

from s4mim_jax.config import allocator, command_line, xla_flags
from s4mim_jax.config.errors import InputError


def main(positional, config_file, overrides) -> int:
    values = flags.FLAGS
    if config_file:
        raise InputError(f'--config={config_file}: fit proposes a config; --config.KEY=VALUE sets single keys')
    if len(positional) != 1:
        raise InputError(f'{len(positional)} folders named\nvalid: one dataset, such as `fit my_images --output=run`')
    if not values.output:
        raise InputError('--output is missing; name the folder to write to')
    from s4mim_jax.fitting.pipeline import Stopped
    allocator.keep_memory()
    xla_flags.for_cpu()
    try:
        _fit(positional[0], values.output, values.minutes, overrides, values.plan_only)
    except Stopped as stop:
        print(stop, flush=True)
        return stop.status
    return 0


def fit(folder, output=None, minutes: float = 30, **overrides):
    """Own images in one call.

    Args:
      folder: images/ and masks/, or the export of an annotation tool.
      output: folder for runs, predictions and the page; None = `fit_NAME` here, NAME that of the folder.
      minutes: for all of it.
      overrides: keys of the config that no rule changes, with `__` for the dot: data__split='1_16', or
        **{'data.split': '1_16'}.

    Returns:
      the Predictor of the network with the best score on val.

    Raises:
      InputError: data, a key or the output cannot be used. Stopped: interrupted; the same call continues.
    """
    from s4mim_jax.prediction.loading import load
    output = Path(output or f'fit_{Path(folder).resolve().name}').expanduser()
    pairs = [(key.replace('__', '.'), str(value)) for key, value in overrides.items()]
    state = _fit(folder, output, minutes, pairs)
    return load(output / state['best'], weights='better')


def _fit(folder, output, minutes, overrides, plan_only: bool = False) -> dict:
    from s4mim_jax.fitting import outcome, page, pipeline
    say = lambda line: print(line, flush=True)
    output = Path(output).expanduser()
    state = pipeline.run(folder, output, minutes, overrides, plan_only, say)
    if not plan_only:
        say('\n' + page.verdict(state))
        say(f'page         {page.write(output, state)}\nnetwork      {output / state["best"]}')
        if (output / outcome.PREDICTIONS).is_dir():  # every image may be labelled, or lie in no file of its own
            say(f'predictions  {output / outcome.PREDICTIONS}')
        say(f'more images  {page.commands(output, state)[0]}')
    return state


class _Callable(types.ModuleType):
    """`s4mim_jax.fit(...)` works also where this module was imported, which hides the function of the package."""

    def __call__(self, *arguments, **named):
        return fit(*arguments, **named)


sys.modules[__name__].__class__ = _Callable


def run() -> None:
    """Defines the flags and starts."""
    flags.DEFINE_string('output', None, 'folder for runs, predictions and the page')
    flags.DEFINE_float('minutes', 30.0, 'for all of it')
    flags.DEFINE_bool('plan_only', False, 'print the plan, write config.py, and stop')
    flags.FLAGS.set_gnu_getopt(True)
    command_line.run(main)


if __name__ == '__main__':
    run()
