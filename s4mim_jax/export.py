"""Writes a trained run as a folder that predicts without its config, checkpoints and the networks' code.

    python -m s4mim_jax.export --workdir=runs/unimatch --output=model [--sizes=480x640,720x960] [--platforms=cpu,cuda]
    python -m s4mim_jax.export --workdir=runs/unimatch --output=model --format=onnx
    python -m s4mim_jax.predict --workdir=model --output=predictions photos/

--format=jax (the default) writes jax.export artefacts, --format=onnx files for onnxruntime and whatever reads ONNX.

A network is exported for fixed heights and widths and any number of images: those of `data.resize`, the window of
`--config.eval.mode=sliding`, which takes images of any size, or else --sizes, by default the sizes of the run's
evaluation images.
"""

import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax import export

from s4mim_jax import models
from s4mim_jax.config import command_line
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.new_folder import new_folder
from s4mim_jax.config.precision import compute_dtype
from s4mim_jax.config.validation import validate
from s4mim_jax.evaluation.inference import class_values, window_values
from s4mim_jax.prediction import onnx_files
from s4mim_jax.prediction.exported import FORMAT, MODEL, NETWORKS, WEIGHTS, describe_settings, is_export
from s4mim_jax.prediction.predictor import Settings, settings_from
from s4mim_jax.pretrained.readers import write_weights
from s4mim_jax.runs import checkpoints, run_folder

PLATFORMS = {'cpu': 'cpu', 'gpu': 'cuda', 'cuda': 'cuda', 'tpu': 'tpu'}  # asked for -> jax.export's name
FORMATS = ('jax', 'onnx')
BACKENDS = {'cpu': 'cpu', 'cuda': 'gpu', 'tpu': 'tpu'}  # jax.export's name -> jax.default_backend()


def export_run(workdir, output, checkpoint: str = 'best', weights: str = 'teacher', overrides=(),
               sizes: list[tuple[int, int]] = (), platforms: tuple[str, ...] = (), format: str = 'jax') -> dict:
    """Writes the folder `output`, replacing an earlier export in it; returns what model.json holds.

    Args:
      workdir, checkpoint, weights, overrides: as `s4mim_jax.load` takes them.
      sizes: (height, width) at the network, for images that are seen whole; () = those of the run.
      platforms: of PLATFORMS; () = where JAX runs by default. Only for 'jax'.
      format: 'jax' or 'onnx'; ONNX files are float32 and hold their weights.

    Raises:
      InputError: no such run, checkpoint, weights, platform or format; the package onnx is missing; no sizes known,
        or sizes that do not fit; a folder
        that holds something else or cannot be written.
    """
    output = Path(output)
    if format not in FORMATS:
        raise InputError(f'--format={format}: unknown\nvalid: {", ".join(FORMATS)}')
    if format == 'onnx' and platforms:
        raise InputError(f'--platforms={",".join(platforms)}: an ONNX file is for every platform; leave it out')
    if output.exists() and not (output.is_dir() and (is_export(output) or not any(output.iterdir()))):
        raise InputError(f'--output={output} holds something else; name a new folder')
    config = run_folder.read_config(workdir, overrides)
    validate(config)
    run = run_folder.read_json(Path(workdir) / 'run.json')
    settings = settings_from(config)
    sizes = choose_sizes(settings, sizes, run.get('input_sizes'), workdir)
    chosen = _platforms(platforms) if format == 'jax' else ()
    variables, step, kind = checkpoints.restore_weights(workdir, config, len(run['classes']), str(checkpoint), weights)
    arrays = _flat(variables)
    model = {'format': FORMAT, 'classes': run['classes'], 'palette': run['palette'], 'step': step, 'weights': kind,
             'method': config.method.name, 'encoder': config.model.encoder, 'decoder': config.model.decoder,
             'precision': config.precision, 'settings': describe_settings(settings),
             'run': {key: run.get(key) for key in ('config_hash', 'git', 'versions', 'split')},
             'jax': jax.__version__, 'networks': []}
    with new_folder(output, replace=True) as temporary:
        (temporary / NETWORKS).mkdir()
        if format == 'onnx':
            _write_onnx(temporary, config, settings, model, variables, sizes)
        for platform in chosen:
            for height, width in sizes:
                file = f'{NETWORKS}/{platform}-{height}x{width}'
                artefact = _artefact(config, settings, len(run['classes']), arrays, (height, width), platform)
                (temporary / file).write_bytes(artefact)
                model['networks'].append({'platform': BACKENDS[platform], 'size': [height, width], 'file': file})
                print(f'{file}: {len(artefact) / 1e6:.1f} MB', flush=True)
        if format == 'jax':
            write_weights(temporary / WEIGHTS, arrays, {'format': FORMAT})
        (temporary / MODEL).write_text(json.dumps(model, indent=1) + '\n')
    return model


def choose_sizes(settings: Settings, asked, known, workdir) -> list[tuple[int, int]]:
    """The sizes that networks are exported for."""
    protocol = settings.protocol
    if protocol.mode == 'sliding':
        if protocol.augmented:
            raise InputError('--config.eval.scales and --config.eval.flip: exported windows are seen once\n'
                             'set --config.eval.scales="(1.0,)" --config.eval.flip=false, or --config.eval.mode=whole')
        return [tuple(protocol.window)]
    if settings.resize and not asked:
        return [settings.input_size(settings.resize)]
    sizes = list(asked) or [tuple(size) for size in known or ()]
    if not sizes:
        raise InputError(f'{workdir}: its images have many sizes, or run.json does not tell them; a network is '
                         'exported for fixed ones\n'
                         'give --sizes=480x640,..., or --config.eval.mode=sliding, which takes images of any size')
    for size in sizes:
        height, width = settings.input_size(size)
        if (height, width) != size:
            raise InputError(f'--sizes={size[0]}x{size[1]}: the network sees such an image at '
                             f'{height}x{width}; give that')
    return sizes


def _platforms(asked: tuple[str, ...]) -> list[str]:
    names = asked or (jax.default_backend(),)
    for name in names:
        if name not in PLATFORMS:
            raise InputError(f'--platforms={",".join(names)}: {name!r} is unknown\nvalid: cpu, cuda, tpu')
    return list(dict.fromkeys(PLATFORMS[name] for name in names))


def _flat(variables) -> dict[str, np.ndarray]:
    paths = jax.tree_util.tree_leaves_with_path(variables)
    return {'/'.join(key.key for key in path): np.asarray(leaf) for path, leaf in paths}


def _artefact(config, settings: Settings, num_classes: int, arrays, size, platform: str) -> bytes:
    """A serialized jax.export of the network with everything between bytes and class values."""
    from flax import traverse_util
    backend = BACKENDS[platform]
    values = _values(config, settings, num_classes, compute_dtype(config, backend), backend)

    def network(arrays, images):
        return values(traverse_util.unflatten_dict(arrays, sep='/'), images)

    batch, = export.symbolic_shape('b')
    images = jax.ShapeDtypeStruct((batch, *size, settings.pixels.channels), jnp.uint8)
    shapes = {name: jax.ShapeDtypeStruct(array.shape, array.dtype) for name, array in arrays.items()}
    return export.export(jax.jit(network), platforms=[platform])(shapes, images).serialize()


def _values(config, settings: Settings, num_classes: int, dtype, platform: str):
    """(variables, uint8 [b, H, W, channels]) -> class values float32 [b, H, W, C] of the run's protocol."""
    module = models.build(config.model, num_classes, dtype=dtype, platform=platform)
    apply_fn = lambda variables, images: module.apply(variables, images, train=False).logits
    values = window_values if settings.protocol.mode == 'sliding' else class_values
    return lambda variables, images: values(apply_fn, variables, images, settings.protocol)


def _write_onnx(folder: Path, config, settings: Settings, model: dict, variables, sizes) -> None:
    """A file a size, and its line in `model`. Convolutions stay whole ('tpu'): their CPU forms are for XLA."""
    network = _values(config, settings, len(model['classes']), jnp.float32, 'tpu')
    for height, width in sizes:
        file = f'{NETWORKS}/{height}x{width}{onnx_files.SUFFIX}'
        entry = {'platform': 'onnx', 'size': [height, width], 'file': file}
        properties = onnx_files.metadata({**model, 'networks': [entry]}, (height, width))
        count = onnx_files.write(folder / file, lambda images: network(variables, images),
                                 (height, width, settings.pixels.channels), properties)
        model['networks'].append(entry)
        print(f'{file}: {count / 1e6:.1f} MB', flush=True)


def _read_sizes(text: str | None) -> list[tuple[int, int]]:
    parts = (text or '').replace(' ', '').split(',') if text else []
    if not all(re.fullmatch(r'[1-9]\d*x[1-9]\d*', part) for part in parts):
        raise InputError(f'--sizes={text}: valid are HEIGHTxWIDTH with commas between, such as 480x640,720x960')
    return [tuple(map(int, part.split('x'))) for part in parts]


def main(positional, config_file, overrides) -> int:
    values = flags.FLAGS
    command_line.refuse_arguments(positional)
    command_line.refuse_config(config_file, 'export')
    for name, purpose in (('workdir', 'of the run'), ('output', 'to write to')):
        if not values[name].value:
            raise InputError(f'--{name} is missing; name the folder {purpose}')
    platforms = tuple(values.platforms.split(',')) if values.platforms else ()
    model = export_run(values.workdir, values.output, values.checkpoint, values.weights, overrides,
                       _read_sizes(values.sizes), platforms, values.format)
    print(f'{values.output}: {model["weights"]} weights of step {model["step"]}, {len(model["classes"])} classes, mode '
          f'{model["settings"]["protocol"]["mode"]}\nuse it: python -m s4mim_jax.predict --workdir={values.output} '
          '--output=FOLDER IMAGES')
    return 0


if __name__ == '__main__':
    flags.DEFINE_string('workdir', None, 'folder of the run')
    flags.DEFINE_string('output', None, 'folder to write')
    flags.DEFINE_string('checkpoint', 'best', 'best, latest or a step')
    flags.DEFINE_string('weights', 'teacher', 'teacher (the student if there is none) or student')
    flags.DEFINE_string('sizes', None, 'HEIGHTxWIDTH at the network, with commas between')
    flags.DEFINE_string('format', 'jax', 'jax (jax.export) or onnx (pip install onnx onnxruntime)')
    flags.DEFINE_string('platforms', None, 'cpu, cuda, tpu, with commas between; default: where JAX runs')
    command_line.run(main)
