"""Where else the numbers and pictures of a run go: Weights & Biases and MLflow, where they are installed.

`config.log.writers` names them: `tensorboard` (the default), `tensorboard,wandb`, `mlflow`, or '' for none. Each has
the calls of clu's `MetricWriter` that `Monitor` makes. A resumed run goes on in the same record. Addresses and keys
come from the services' own environment variables (WANDB_MODE, WANDB_PROJECT, MLFLOW_TRACKING_URI, ...).
"""

import hashlib
import importlib.util
import os
import sys

import numpy as np

from s4mim_jax.config import terminal
from s4mim_jax.config.errors import InputError
from s4mim_jax.runs import storage

# Writer -> (module, what installs it). TensorBoard's writer is clu's own.
OTHERS = {'wandb': ('wandb', 'pip install wandb'), 'mlflow': ('mlflow', 'pip install mlflow-skinny')}


def names(text: str) -> tuple[str, ...]:
    """The writers of `log.writers`, in order.

    Raises:
      InputError: an unknown one, one named twice, or one whose package is not installed.
    """
    asked = tuple(part.strip() for part in text.split(',') if part.strip())
    valid = ('tensorboard', *OTHERS)
    for name in asked:
        if name not in valid or asked.count(name) > 1:
            fault = 'named twice' if name in valid else 'unknown'
            raise InputError(f'--config.log.writers={text}: {name!r} is {fault}\n'
                             f'valid: {", ".join(valid)}, separated by commas')
        module, install = OTHERS.get(name, (None, None))
        if module and importlib.util.find_spec(module) is None:
            raise InputError(f'--config.log.writers={text}: {name} is not installed here\n'
                             f'install it by: {install}')
    return asked


def identity(workdir) -> str:
    """16 letters that are the same whenever the run of this folder goes on."""
    return hashlib.sha1(str(storage.absolute(workdir)).encode('utf-8', 'surrogateescape')).hexdigest()[:16]


class Wandb:
    """A run of Weights & Biases; its files lie in the run folder, or in the current one when that is remote."""

    def __init__(self, workdir, config: dict):
        import wandb
        self._image = wandb.Image
        folder = storage.absolute(workdir)
        here = None if storage.is_remote(workdir) else str(folder)
        self._run = wandb.init(project=os.environ.get('WANDB_PROJECT', 's4mim_jax'), id=identity(workdir),
                               name=folder.name, resume='allow', dir=here, config=config,
                               settings=wandb.Settings(silent=True, console='off'))

    def write_scalars(self, step: int, scalars: dict) -> None:
        self._run.log(dict(scalars), step=step)

    def write_images(self, step: int, images: dict) -> None:
        """`images`: name -> u8 [N, H, W, 3]."""
        self._run.log({name: [self._image(np.asarray(picture)) for picture in stack]
                       for name, stack in images.items()}, step=step)

    def flush(self) -> None:
        """Its own threads write."""

    def close(self) -> None:
        self._run.finish()


class Mlflow:
    """A run of MLflow, in the experiment MLFLOW_EXPERIMENT_NAME (default s4mim_jax)."""

    TAG = 's4mim_jax.run'

    def __init__(self, workdir, config: dict):
        os.environ.setdefault('GIT_PYTHON_REFRESH', 'quiet')
        from mlflow.tracking import MlflowClient
        self._client = MlflowClient()
        name = os.environ.get('MLFLOW_EXPERIMENT_NAME', 's4mim_jax')
        experiment = self._client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else self._client.create_experiment(name)
        key = identity(workdir)
        earlier = self._client.search_runs([number], f"tags.`{self.TAG}` = '{key}'", max_results=1)
        if earlier:
            self._run = earlier[0].info.run_id
            self._client.update_run(self._run, status='RUNNING')
            return
        self._run = self._client.create_run(number, run_name=storage.absolute(workdir).name,
                                            tags={self.TAG: key}).info.run_id
        for key, value in _flat(config).items():
            self._client.log_param(self._run, key, value)

    def write_scalars(self, step: int, scalars: dict) -> None:
        for name, value in scalars.items():
            self._client.log_metric(self._run, name, float(value), step=step)

    def write_images(self, step: int, images: dict) -> None:
        """`images`: name -> u8 [N, H, W, 3]."""
        from PIL import Image
        for name, stack in images.items():
            for i, picture in enumerate(stack):
                self._client.log_image(self._run, Image.fromarray(np.asarray(picture)),
                                       artifact_file=f'{name}_{step:06d}_{i}.png')

    def flush(self) -> None:
        """Every call has written."""

    def close(self) -> None:
        self._client.set_terminated(self._run)


class _Dispensable:
    """A writer whose service may fail: it is told once and left out, the run goes on."""

    def __init__(self, name: str, writer):
        self._name, self._writer = name, writer

    def _try(self, call: str, *arguments) -> None:
        if self._writer is None:
            return
        try:
            getattr(self._writer, call)(*arguments)
        except Exception as error:  # whatever a service's client raises
            terminal.say(f'warning: log.writers: {self._name} failed and is left out from here on '
                         f'({type(error).__name__}: {_line(error)})', sys.stderr)
            self._writer = None

    def write_scalars(self, step: int, scalars: dict) -> None:
        self._try('write_scalars', step, scalars)

    def write_images(self, step: int, images: dict) -> None:
        self._try('write_images', step, images)

    def flush(self) -> None:
        self._try('flush')

    def close(self) -> None:
        self._try('close')


KINDS = {'wandb': Wandb, 'mlflow': Mlflow}


def make(asked: tuple[str, ...], workdir, config: dict, tensorboard) -> list:
    """The writers in order; `tensorboard`: what makes clu's writer.

    Raises:
      InputError: a service that cannot be begun with, such as one that wants a key.
    """
    made = []
    for name in asked:
        if name == 'tensorboard':
            made.append(tensorboard())
            continue
        try:
            made.append(_Dispensable(name, KINDS[name](workdir, config)))
        except Exception as error:
            hint = '\nWANDB_MODE=offline keeps everything in the run folder' if name == 'wandb' else ''
            raise InputError(f'--config.log.writers: {name} cannot begin ({type(error).__name__}: {_line(error)}){hint}'
                             ) from None
    return made


def _line(error) -> str:
    return str(error).strip().partition('\n')[0]


def _flat(tree: dict, prefix: str = '') -> dict:
    flat = {}
    for key, value in tree.items():
        flat |= _flat(value, f'{prefix}{key}.') if isinstance(value, dict) else {prefix + key: value}
    return flat
