"""An exported model: a folder that predicts without the config, the checkpoints and the networks' code of its run.

    model.json              classes, palette, preprocessing, protocol, and where the weights come from
    weights.safetensors     parameters and BatchNorm statistics, float32, by path
    networks/PLATFORM-HxW   jax.export artefacts: ({name: array}, uint8 [b, H, W, channels]) -> float32 [b, H, W, C],
                            any b; `kind` in model.json says what the result is. H x W is the window of `sliding`.

With --format=onnx the networks are HxW.onnx, which hold their weights and need onnxruntime alone; see `onnx_files`.
The artefacts need JAX alone; this module also resizes to and from the network's size, as prediction from a run does.
"""

import functools
import json
from functools import partial
from pathlib import Path

import jax
import numpy as np
from jax import export

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.pixel_format import PixelFormat
from s4mim_jax.evaluation.inference import Protocol
from s4mim_jax.prediction import onnx_files
from s4mim_jax.prediction.predictor import Network, Predictor, Settings
from s4mim_jax.pretrained.readers import read_weights

MODEL, WEIGHTS, NETWORKS = 'model.json', 'weights.safetensors', 'networks'
FORMAT = 's4mim_jax model 1'


def is_export(folder) -> bool:
    """Whether a folder is an exported model and not a run; a single ONNX file is one too."""
    path = Path(folder)
    return path.suffix == onnx_files.SUFFIX or (path / MODEL).is_file()


def describe_settings(settings: Settings) -> dict:
    """Settings as JSON; `read_settings` is the inverse."""
    protocol = settings.protocol._asdict() | {'kind': settings.protocol.kind}
    return {'resize': settings.resize, 'multiple': settings.multiple, 'batch': settings.batch,
            'channels': settings.pixels.channels, 'value_range': settings.pixels.value_range, 'protocol': protocol}


def read_settings(stored: dict) -> Settings:
    pairs = lambda value: tuple(value) if isinstance(value, list) else value
    protocol = Protocol(**{name: pairs(stored['protocol'][name]) for name in Protocol._fields})
    pixels = PixelFormat(stored['channels'], pairs(stored['value_range']))
    return Settings(pairs(stored['resize']), stored['multiple'], stored['batch'], pixels, protocol)


def load_export(folder, overrides=()) -> Predictor:
    """The model of a folder that `python -m s4mim_jax.export` has written, or of one ONNX file of it.

    Raises:
      InputError: files that are missing or of another version, no network for the platform that JAX runs on, or
        overrides, for which there is no config.
    """
    folder = Path(folder)
    if overrides:
        raise InputError(f'--config.{overrides[0][0]}: {folder} is an exported model and takes no config\n'
                         'export the run again with this setting')
    model = _describe(folder)
    platform = jax.default_backend()
    paths, onnx = {}, False
    for entry in model['networks']:
        if entry['platform'] in (platform, 'onnx'):
            paths[tuple(entry['size'])] = folder if folder.is_file() else folder / entry['file']
            onnx = entry['platform'] == 'onnx'
    if not paths:
        raise InputError(f'{folder}: no network for platform {platform}; exported for '
                         f'{", ".join(sorted({e["platform"] for e in model["networks"]}))}\n'
                         f'export the run again with --platforms={platform}')
    variables = None if onnx else jax.device_put(read_weights(folder / WEIGHTS).arrays)
    settings = read_settings(model['settings'])

    @functools.cache
    def network(size):
        return onnx_files.runner(paths[size]) if onnx else partial(_network(paths[size]), variables)

    def values(images):
        size = images.shape[1:3]
        if size not in paths:
            raise InputError(f'{folder}: an image of {size[0]} x {size[1]} at the network; exported for '
                             f'{", ".join(f"{h} x {w}" for h, w in sorted(paths))}\n'
                             f'export the run again with --sizes={size[0]}x{size[1]} or --config.eval.mode=sliding')
        return network(size)(images)

    windows = lambda images: network(images.shape[1:3])(images)
    sliding = settings.protocol.mode == 'sliding'
    networks = Network(None if sliding else values, windows if sliding else None)
    return Predictor(networks, settings, model['classes'], np.asarray(model['palette'], np.uint8), model['step'],
                     model['weights'])


def _describe(path: Path) -> dict:
    """What model.json, or the metadata of an ONNX file, says."""
    if path.suffix == onnx_files.SUFFIX and not path.is_dir():
        model = onnx_files.description(path)
    else:
        path = path / MODEL
        try:
            model = json.loads(path.read_text())
        except (OSError, json.JSONDecodeError) as error:
            raise InputError(f'{path}: cannot be read ({error})') from None
    if model.get('format') != FORMAT:
        raise InputError(f'{path}: format {model.get("format")!r} is unknown; valid: {FORMAT!r}')
    return model


def _network(path: Path):
    try:
        return jax.jit(export.deserialize(bytearray(path.read_bytes())).call)
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from None
    except ValueError as error:  # truncated, or of a version that this JAX does not know
        raise InputError(f'{path}: is no network that this JAX reads ({str(error).partition(chr(10))[0]})') from None
