"""ONNX files of a trained network: written from the traced operations, run by onnxruntime.

One file is one network for images of one size at the network, any number of them:

    images  uint8 [b, H, W, channels], RGB by default, as decoded; normalisation is part of the network
    values  float32 [b, H, W, C], logits or probabilities (`kind`), at the size of the input

Its metadata hold what a reader needs: classes, palette, mean and std (already applied inside), how images come to
H x W, and under `s4mim_jax` the whole description that `s4mim_jax.load` reads.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from s4mim_jax.config.errors import InputError

SUFFIX, DESCRIPTION = '.onnx', 's4mim_jax'
LARGEST = 1_900_000_000  # bytes of a file of protobuf, which ends at 2 GiB; more weights lie beside it


def metadata(model: dict, size: tuple[int, int]) -> dict[str, str]:
    """Text by key for a file of a network that sees images at `size`; model: what model.json holds."""
    settings = model['settings']
    protocol = settings['protocol']
    if protocol['mode'] == 'sliding':
        rule = f'windows of {size[0]} x {size[1]} pixels of an image of any size; their probabilities are averaged'
    else:
        rule = (f'every image is resized to {size[0]} x {size[1]} (height x width), bilinear' if settings['resize'] else
                f'images of {size[0]} x {size[1]} (height x width), rounded to multiples of {settings["multiple"]}')
    return {'classes': json.dumps(model['classes']), 'palette': json.dumps(model['palette']),
            'mean': json.dumps(protocol['mean']), 'std': json.dumps(protocol['std']),
            'input': f'uint8 [b, {size[0]}, {size[1]}, {settings["channels"]}], 0..255; mean and std (on the scale '
                     '0..1) are applied inside',
            'output': f'{protocol["kind"]}, float32 [b, {size[0]}, {size[1]}, {len(model["classes"])}]',
            'size_rule': rule, 'multiple': str(settings['multiple']), 'kind': protocol['kind'],
            DESCRIPTION: json.dumps(model)}


def write(path: Path, network: Callable, shape: tuple[int, int, int], properties: dict[str, str]) -> int:
    """Writes a network as a file; returns its bytes.

    Args:
      network: uint8 [b, *shape] -> float32 [b, H, W, C]. shape: (H, W, channels). properties: from `metadata`.

    Raises:
      InputError: `onnx` is not installed, or an operation that it cannot say.
    """
    from s4mim_jax.onnx_graph import to_onnx
    model = to_onnx(network, shape, properties)
    import onnx
    if sum(len(tensor.raw_data) for tensor in model.graph.initializer) > LARGEST:
        onnx.save_model(model, path, save_as_external_data=True, location=f'{path.name}.data')
        return path.stat().st_size + path.with_name(f'{path.name}.data').stat().st_size
    onnx.checker.check_model(model)
    onnx.save_model(model, path)
    return path.stat().st_size


def session(path: Path):
    """An onnxruntime session of a file, on the devices that this onnxruntime has.

    Raises:
      InputError: onnxruntime is not installed, or the file is none that it reads.
    """
    try:
        import onnxruntime
    except ImportError:
        raise InputError(f'{path} is run by the package onnxruntime, which is not installed\n'
                         'pip install onnxruntime') from None
    if not Path(path).is_file():
        raise InputError(f'{path}: no such file')
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; it warns of every constant that it folds
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=onnxruntime.get_available_providers())
    except Exception as error:  # onnxruntime's errors share no class of their own
        message = str(error).partition('\n')[0]
        raise InputError(f'{path}: is no network that onnxruntime reads ({message})') from None


def description(path: Path) -> dict:
    """What model.json holds, out of a file's metadata; its only network is the file.

    Raises:
      InputError: a file that `python -m s4mim_jax.export` has not written.
    """
    found = session(path).get_modelmeta().custom_metadata_map
    if DESCRIPTION not in found:
        raise InputError(f'{path}: has no description of classes and sizes in its metadata\n'
                         'valid: a file of python -m s4mim_jax.export --format=onnx')
    return json.loads(found[DESCRIPTION])


def runner(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 [b, H, W, channels] -> float32 [b, H, W, C]."""
    running = session(path)
    name = running.get_inputs()[0].name
    return lambda images: running.run(None, {name: np.ascontiguousarray(images)})[0]
