"""Weights files -> arrays by name: .safetensors, .npz, and .pth where PyTorch is installed."""

import dataclasses
import json
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from s4mim_jax.config.errors import InputError
from s4mim_jax.pretrained.entries import choose

METADATA = '__metadata__'  # entry of an .npz that holds what a .safetensors has in its header
# Weights that come with the package; `docs/evidence.md` has the command that made each.
PACKAGED = {'package:patterns': Path(__file__).parent / 'files' / 'patterns_resnet18_unet.safetensors'}
READABLE = ('.safetensors', '.npz', '.pth', '.pt')
WRITABLE = ('.safetensors', '.npz')


@dataclasses.dataclass(frozen=True, eq=False)
class Weights:
    """One file: its path, its arrays by name and its text metadata (empty where it has none).

    entry: which of a checkpoint's entries the arrays are ('model_ema'), None for a bare state dict.
    entries: all of them -> number of arrays.
    """

    path: str
    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]
    entry: str | None = None
    entries: dict[str, int] = dataclasses.field(default_factory=dict)


def read_weights(source: str | os.PathLike, entry: str | None = None) -> Weights:
    """Reads a weights file.

    Args:
      source: .safetensors, .npz or .pth, or a name of PACKAGED.
      entry: of a training checkpoint that holds several networks; None = the averaged one (`model_ema`)
        if there is one, else the trained one (`model`, `state_dict`).

    Raises:
      InputError: no such file, another format, a damaged file, no such entry, or a .pth without PyTorch
        installed.
    """
    path = PACKAGED.get(str(source), Path(source))
    if not path.is_file():
        raise InputError(f'weights file {source} does not exist\nvalid: a file, or {", ".join(PACKAGED)}')
    readers = {'.safetensors': _safetensors, '.npz': _npz, '.pth': _torch, '.pt': _torch}
    if path.suffix not in readers:
        raise InputError(f'weights file {path} has an unknown format; valid: {", ".join(READABLE)}')
    tree, metadata = readers[path.suffix](path)
    arrays, chosen, found = choose(path, tree, entry)
    return Weights(str(path), arrays, metadata, chosen, found)


def write_weights(path: str | os.PathLike, arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Writes .safetensors or .npz as a whole: a reader never sees half a file.

    Raises:
      InputError: another suffix, or a folder that cannot be written.
    """
    path = Path(path)
    if path.suffix not in WRITABLE:
        raise InputError(f'output {path} has an unknown format; valid: {", ".join(WRITABLE)}')
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=path.suffix, delete=False) as file:
            temporary = Path(file.name)
    except OSError as error:
        raise InputError(f'output {path} cannot be written: {error.strerror}') from None
    try:
        if path.suffix == '.npz':
            np.savez(temporary, **arrays, **{METADATA: np.array(json.dumps(metadata))})
        else:
            safetensors.numpy.save_file(arrays, temporary, metadata=metadata)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f'output {path} cannot be written: {error.strerror}') from None
    finally:
        temporary.unlink(missing_ok=True)


def _damaged(path, error):
    return InputError(f'weights file {path} cannot be read: {error}')


def _safetensors(path):
    try:
        with safetensors.safe_open(path, framework='numpy') as file:
            metadata = dict(file.metadata() or {})
            names = list(file.keys())
            brief = {name for name in names if file.get_slice(name).get_dtype() == 'BF16'}  # not a type of NumPy's
            arrays = {name: file.get_tensor(name) for name in names if name not in brief}
        if brief:
            with safetensors.safe_open(path, framework='flax') as file:
                arrays |= {name: np.asarray(file.get_tensor(name), np.float32) for name in brief}
        return arrays, metadata
    except (safetensors.SafetensorError, OSError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None


def _npz(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from None
    metadata = arrays.pop(METADATA, None)
    return arrays, json.loads(str(metadata)) if metadata is not None else {}


def _torch(path):
    try:
        import torch  # only here: no part of the project needs it otherwise
    except ImportError:
        raise InputError(f'weights file {path} is a PyTorch pickle, and PyTorch is not installed\n'
                         'install it (pip install torch), or save the weights as .safetensors or .npz'
                         ) from None
    # Training checkpoints hold their best score, a NumPy number, which the loader refuses unless told.
    scalar = np.float64(0).__reduce__()[0]
    harmless = [np.dtype, *(type(np.dtype(kind)) for kind in 'fdiql'),
                *((scalar, f'numpy.{core}.multiarray.scalar') for core in ('core', '_core'))]
    try:
        # weights_only: a pickle from the internet must not run code.
        with torch.serialization.safe_globals(harmless):
            state = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler meets
        if 'Weights only load failed' in str(error):
            raise InputError(f'weights file {path} holds more than arrays, and loading that could run code\n'
                             'valid: a state dict; where you trust the file, PyTorch makes one: '
                             'torch.save(network.state_dict(), "weights.pth")') from None
        raise _damaged(path, str(error).split('\n')[0]) from None
    if not isinstance(state, dict):
        raise InputError(f'weights file {path} holds a {type(state).__name__}, not a state dict')

    def arrays(value):
        if isinstance(value, dict):
            return {str(key): arrays(inner) for key, inner in value.items()}
        if isinstance(value, torch.Tensor):
            return (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
        return None

    return arrays(state), {}
