"""The network of a run as one weights file, to begin other runs with: no optimiser, no teacher beside it."""

from pathlib import Path

import numpy as np
from flax import traverse_util

from s4mim_jax.pretrained.readers import write_weights
from s4mim_jax.pretrained.schemes import Found, ours
from s4mim_jax.runs import checkpoints, run_folder

# Keys of config.model that must be the run's for its arrays to fit, by encoder and decoder.
ENCODER_KEYS = {'resnet': ('width',), 'dinov2': ('registers', 'vit_depth', 'vit_width', 'vit_heads')}
DECODER_KEYS = {'deeplabv3plus': ('decoder_width', 'low_level_width'), 'dpt': ('dpt_features', 'dpt_channels'),
                'unet': ('unet_widths',)}


def write_run_weights(workdir: str, output: str, half: bool = False) -> dict[str, str]:
    """Writes the best checkpoint's network, the teacher's if the run has a teacher.

    Args:
      workdir: run folder. output: .safetensors or .npz. half: kernels as float16, for a file of half the size;
        readers make them float32 again. Norms and biases stay float32.

    Returns:
      the file's metadata: of what network it is.

    Raises:
      InputError: no run, no checkpoint, or a file that cannot be written.
    """
    config = run_folder.read_config(workdir, ())
    classes = len(run_folder.read_json(Path(workdir) / 'run.json')['classes'])
    variables, _, _ = checkpoints.restore_weights(workdir, config, classes)
    smaller = lambda path: np.float16 if half and path.endswith('kernel') else np.float32
    arrays = {path: np.asarray(array, smaller(path))
              for path, array in traverse_util.flatten_dict(variables, sep='/').items()}
    model = config.model
    take = lambda keys: {key: model[key] for key in keys if model[key] is not None}
    kind = next((kind for kind in ENCODER_KEYS if model.encoder.startswith(kind)), None)
    settings = take(ENCODER_KEYS.get(kind, ())) | ({'stem': model.stem} if kind == 'resnet' else {})
    habits = take(('output_stride', 'align_corners'))
    metadata = ours.metadata_of(Found(model.encoder, settings, habits),
                                Found(model.decoder, take(DECODER_KEYS[model.decoder]), classes=classes))
    metadata |= {'padding': model.padding, 'source': f'{config.method.name} on {config.data.name}, '
                 f'{config.total_steps} steps'}
    write_weights(output, arrays, metadata)
    return metadata
