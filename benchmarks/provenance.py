"""Where figures come from: what a results file says of its command, device and versions."""

import os
import platform
from importlib import metadata
from pathlib import Path

import jax

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ('jax', 'jaxlib', 'flax', 'optax')


def command(file: str, arguments: list[str]) -> str:
    """The command line by name: paths inside the project relative to it, others without their folders."""
    return ' '.join([f'benchmarks/{Path(file).name}', *map(_by_name, arguments)])


def _by_name(argument: str) -> str:
    option, separator, value = argument.partition('=') if argument.startswith('-') else ('', '', argument)
    path, colon, method = value.partition(':')
    if os.path.isabs(path):
        inside = Path(path).is_relative_to(ROOT)
        path = Path(path).relative_to(ROOT).as_posix() if inside else Path(path).name
    return option + separator + path + colon + method


def device(count: int | None = None) -> dict:
    """Platform, model and number of the devices that were used, the host's cores and load, versions.

    Args:
      count: devices used; None = all local ones.
    """
    first = jax.local_devices()[0]
    return {'device': f'{first.platform}: {_model(first)}', 'devices': count or jax.local_device_count(),
            'cores': os.cpu_count(), 'load': [round(load, 1) for load in os.getloadavg()],
            'versions': {'python': platform.python_version(), **{name: _version(name) for name in PACKAGES}}}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # carried on PYTHONPATH as a bare folder
        return getattr(__import__(name), '__version__', 'unknown')


def _model(first) -> str:
    """JAX calls every processor `cpu`; Linux knows its name."""
    try:
        if first.platform == 'cpu':
            lines = Path('/proc/cpuinfo').read_text(encoding='utf8').splitlines()
            return next(line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    except (OSError, StopIteration):
        pass
    return first.device_kind
