"""The run folder: config.json, run.json and metrics.jsonl, written so that a crash leaves no half file."""

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess

import jax
import ml_collections
from etils.epath import Path

from s4mim_jax import evaluation
from s4mim_jax.config import adopt, base
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.overrides import assign
from s4mim_jax.data.sizes import network_size
from s4mim_jax.runs import storage

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'tensorflow-datasets', 'ml-collections',
            'clu', 'numpy', 'pillow', 'tensorflow', 'tensorflow-cpu')


def check_writable(workdir) -> None:
    """Looks, without writing, whether `prepare` can work.

    Raises:
      InputError: the folder, or the nearest one above it, is no folder or may not be written; an
        address that nothing serves. Whether a store may be written, only `prepare` finds out.
    """
    storage.check_served(workdir)
    if storage.is_remote(workdir):
        return
    nearest = storage.absolute(workdir)
    # os.path's functions: pathlib's raise below a folder that may not be searched.
    while not os.path.exists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not os.path.isdir(nearest) or not os.access(nearest, os.W_OK | os.X_OK):
        why = 'may not be written' if os.path.isdir(nearest) else 'is not a folder'
        raise InputError(f'--workdir={workdir}: {nearest} {why}; name a folder that you may write')


def prepare(workdir, flag: str = '--workdir') -> Path:
    """Makes the folder and proves that it can be written; `flag` is what named it.

    Raises:
      InputError: it cannot.
    """
    folder = storage.locate(workdir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f'.probe-{os.getpid()}'
        probe.write_text('')
        probe.unlink(missing_ok=True)  # processes that share a folder and an id share the probe
    except Exception as error:
        if not storage.is_failure(error):
            raise
        raise InputError(f'{flag}={workdir} cannot be written ({storage.reason(error)}); '
                         'name a folder that you may write') from None
    return folder


def write_json(path: Path, value) -> None:
    """Replaces a JSON file of a run folder in one go.

    Raises:
      StorageError: it cannot be written; the old one is unharmed.
    """
    path = storage.locate(path)
    with storage.writing(path, path.parent):
        storage.replace_text(path, json.dumps(value, indent=2) + '\n')


def read_json(path: Path):
    """Raises InputError when the file is missing or is not JSON."""
    path = storage.locate(path)
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise InputError(f'{path}: not valid JSON ({error})') from None
    except Exception as error:
        if not storage.is_failure(error):
            raise
        raise InputError(f'{path}: cannot be read ({storage.reason(error)}); is this a folder that train has '
                         'written?') from None


def read_config(workdir, overrides=()) -> ml_collections.ConfigDict:
    """The config of a run with command-line overrides, a list of (dotted key, text).

    Raises:
      InputError: no run there, a key that this version does not know, or a bad override.
    """
    path = storage.locate(workdir) / 'config.json'
    config, values = base(), read_json(path)
    adopt(config, *values.get('method', {}).get('modules', ()))
    _fill(config, values, path, '')
    for key, text in overrides:
        assign(config, key, text)
    return config.lock()


def precision_of(workdir) -> str | None:
    """What the run in a folder computes in; None where there is no config."""
    if not (storage.locate(workdir) / 'config.json').exists():
        return None
    return read_config(workdir).precision


# Keys that a resumed run may change: they do not decide what the steps so far have computed.
FREE = ('total_steps', 'optimizer.', 'eval.', 'checkpoint.', 'log.', 'mesh.', 'partition', 'data.dir', 'data.cache',
        'model.pretrained', 'model.remat')


def check_same_run(workdir, config, split, source=None) -> None:
    """Refuses to go on in a folder that holds another run.

    Raises:
      InputError: naming the first key that differs (seed, data, method, model, batch, views), that the split's lists
        were changed, or the first class that has another name or colour.
    """
    folder = storage.locate(workdir)
    if not (folder / 'config.json').exists():
        return
    # Keys that the folder's version did not have yet are read at their defaults.
    stored, asked = _flat(read_config(folder).to_dict()), _flat(config.to_dict())
    changed = [key for key in sorted(stored.keys() | asked.keys())
               if stored.get(key) != asked.get(key) and not key.startswith(FREE)]
    if changed:
        key = 'method.name' if 'method.name' in changed else changed[0]
        raise InputError(f'{workdir} holds another run: {key} is {stored.get(key)!r} there, '
                         f'{asked.get(key)!r} in this config ({len(changed)} keys differ)\n'
                         'valid: the config of that run, or another --workdir')
    run = read_json(folder / 'run.json') if (folder / 'run.json').exists() else None
    if run and source is not None:
        check_same_classes(workdir, run, source)
    there = run['split']['hash'] if run else split.hash
    if there != split.hash:
        raise InputError(f'{workdir} holds a run on other images: split {split.name} has hash {split.hash[:12]}, '
                         f'there {there[:12]}\nvalid: the split lists of that run, or another --workdir')


def check_same_classes(workdir, run, source) -> None:
    """Refuses a dataset whose class ids do not mean what they meant when the run was trained.

    Args:
      workdir: for the message. run: what its run.json holds. source: the dataset as it is now.

    Raises:
      InputError: another number of classes, or the first one of another name or colour; masks read in another way.
    """
    colors = [[int(v) for v in color] for color in source.palette]
    if len(run['classes']) != source.num_classes:
        raise InputError(f'{workdir} holds a run of {len(run["classes"])} classes, {source.dir} has '
                         f'{source.num_classes}\nvalid: the classes of that run, in their order, or another --workdir')
    for number, pair in enumerate(zip(zip(run['classes'], run.get('palette', colors)), zip(source.classes, colors))):
        (name, color), (name_now, color_now) = pair
        if name != name_now or list(color) != color_now:
            raise InputError(f'{workdir} holds a run on other classes: class {number} is {name!r} with the colour '
                             f'{tuple(color)} there, {name_now!r} with {tuple(color_now)} in {source.dir}\n'
                             'valid: the classes of that run, in their order and colours, or another --workdir')
    was, now = run.get('masks'), source.masks.record(source)
    for key in ('read_as', 'values') if was else ():
        if was[key] != now[key]:
            raise InputError(f'{workdir} holds a run whose masks were read in another way ({key})\n'
                             f'valid: the masks and the classes.txt of that run, or another --workdir')


def _flat(tree, prefix='') -> dict:
    """Dotted key -> value, with tuples as the lists that JSON makes of them."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f'{prefix}{key}.')
        else:
            flat[prefix + key] = json.loads(json.dumps(value))
    return flat


def _fill(node, values, path, prefix):
    for key, value in values.items():
        if key not in node.keys():
            raise InputError(f'{path}: unknown key {prefix}{key}; it was written by another version')
        if isinstance(value, dict):
            _fill(node[key], value, path, f'{prefix}{key}.')
        else:
            node[key] = tuple(value) if isinstance(value, list) else value


FEW_SIZES = 8  # so many are listed in run.json; photographs of a collection have hundreds


def describe_run(config, source, split, mesh, evaluated=()) -> dict:
    """What the numbers of a run depend on beside its config, for run.json.

    evaluated: own (height, width) of the images that are scored while it trains.
    """
    sizes = sorted({network_size(own, config) for own in evaluated})
    device = jax.devices()[0]
    return {
        'classes': list(source.classes),
        'palette': [list(map(int, color)) for color in source.palette],
        'masks': source.masks.record(source),
        'split': {'name': split.name, 'hash': split.hash, 'labeled': len(split.labeled),
                  'unlabeled': len(split.unlabeled)},
        'config_hash': hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode()).hexdigest(),
        'batch': {'labeled': config.batch.labeled, 'unlabeled': config.batch.unlabeled,
                  'reference': config.optimizer.reference_batch},
        'protocol': evaluation.describe(config),
        'input_sizes': [list(size) for size in sizes] if len(sizes) <= FEW_SIZES else None,  # at the network
        'git': git_hash(),
        'python': platform.python_version(),
        'versions': {name: _version(name) for name in PACKAGES},
        'devices': {'kind': device.device_kind, 'platform': device.platform, 'count': jax.device_count(),
                    'processes': jax.process_count(), 'mesh': dict(mesh.shape)},
    }


def git_hash() -> str | None:
    """Commit of the checkout that the package runs from, '+' appended when it has changes.

    A copy without its history (an image, a bundle on a pod) is told by S4MIM_GIT_HASH.
    """
    if os.environ.get('S4MIM_GIT_HASH'):
        return os.environ['S4MIM_GIT_HASH']
    here = Path(__file__).resolve().parent
    try:
        run = lambda *args: subprocess.run(['git', *args], cwd=here, capture_output=True, text=True, timeout=10)
        commit = run('rev-parse', 'HEAD')
        if commit.returncode:
            return None
        return commit.stdout.strip() + ('+' if run('status', '--porcelain', '-uno').stdout.strip() else '')
    except (OSError, subprocess.TimeoutExpired):
        return None


def _version(name) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
