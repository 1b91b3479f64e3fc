"""Lists every encoder with every decoder: parameters, and FLOPs of a forward pass.

    python -m s4mim_jax.catalog [--encoder=resnet50] [--size=518,518] [--classes=21] [--markdown]
                                [--config=configs/voc.py:unimatch]

Nothing is computed and no weight is drawn, so ViT-g needs no more memory than MobileNetV2. With --config the other
keys of its model (widths, output stride, ..) hold for every encoder and decoder that has them.
"""

import re

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from s4mim_jax import models
from s4mim_jax.config import base, command_line
from s4mim_jax.config.encoder_sizes import PATCHES, nearest_multiple, size_multiple
from s4mim_jax.config.errors import InputError
from s4mim_jax.models.initial import leaf_shapes
from s4mim_jax.models.resnet import RESNETS
from s4mim_jax.models.vit import KEYS, VITS

SIZE, CLASSES = (518, 518), 21


def parameters(model_config, num_classes: int) -> dict[str, int]:
    """Numbers of parameters: 'encoder', 'decoder'. BatchNorm's running statistics are none."""
    shapes = leaf_shapes(models.build(model_config, num_classes))
    return {part: sum(int(np.prod(shape)) for path, shape in shapes.items() if path.startswith(f'params/{part}/'))
            for part in ('encoder', 'decoder')}


def forward_flops(model_config, num_classes: int, size: tuple[int, int]) -> float:
    """Floating-point operations of one image in evaluation mode, as XLA counts its lowered program.

    A multiplication with an addition counts as two; exponentials and roots are not counted.
    """
    # Convolutions as an accelerator does them: those for CPUs are other programs.
    module = models.build(model_config, num_classes, platform='tpu')
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), image)
    lowered = jax.jit(lambda v, x: module.apply(v, x).logits).lower(variables, image)
    return float(lowered.cost_analysis()['flops'])


def rows(model_config, num_classes: int = CLASSES, size: tuple[int, int] = SIZE,
         encoders=tuple(models.ENCODERS)) -> list[dict]:
    """One row a pair: encoder, decoder, encoder_parameters, parameters, size, flops.

    Args:
      model_config: config.model; its encoder and decoder are replaced by each pair.
      size: (height, width) of the image; for a ViT the nearest multiples of its patch.
      encoders: which of them.

    Raises:
      InputError: a key of the config that does not fit one of the pairs.
    """
    found = []
    for encoder in encoders:
        for decoder in models.DECODERS:
            config = paired(model_config, encoder, decoder)
            counts = parameters(config, num_classes)
            seen = tuple(nearest_multiple(n, size_multiple(config)) for n in size)
            found.append({'encoder': encoder, 'decoder': decoder, 'encoder_parameters': counts['encoder'],
                          'parameters': sum(counts.values()), 'size': seen,
                          'flops': forward_flops(config, num_classes, seen)})
    return found


def paired(model_config, encoder: str, decoder: str):
    """A copy of config.model with another pair, without the keys that only the former encoder had."""
    config = model_config.copy_and_resolve_references()
    config.update(dict(encoder=encoder, decoder=decoder, pretrained=None, freeze_norm=False, freeze_encoder=False))
    if encoder not in VITS:
        config.update(registers=0, positions=None)
    if encoder not in PATCHES:
        config.update({key: 0 if key == 'registers' else None for key in KEYS})
    if encoder not in RESNETS or len(config.multi_grid or ()) != RESNETS[encoder][0][-1]:
        config.multi_grid = None
    return config


def table(pairs: list[dict]) -> str:
    """Markdown, an encoder a line: its own parameters, then 'parameters / FLOPs' with each decoder."""
    decoders = list(dict.fromkeys(pair['decoder'] for pair in pairs))
    lines = ['| encoder | alone | ' + ' | '.join(f'`{d}`' for d in decoders) + ' |', '|---' * (2 + len(decoders)) + '|']
    for encoder in dict.fromkeys(pair['encoder'] for pair in pairs):
        own = {pair['decoder']: pair for pair in pairs if pair['encoder'] == encoder}
        cells = [f'{millions(own[d]["parameters"])} / {own[d]["flops"] / 1e9:.0f}' for d in decoders]
        alone = millions(own[decoders[0]]['encoder_parameters'])
        lines.append(f'| `{encoder}` | {alone} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def millions(count: int) -> str:
    return f'{count / 1e6:.1f}'


def text(pairs: list[dict]) -> str:
    """For the terminal, a pair a line."""
    lines = [f'{"encoder":14} {"decoder":14} {"M parameters":>12} {"of encoder":>10} {"GFLOP":>8}  at']
    for pair in pairs:
        lines.append(f'{pair["encoder"]:14} {pair["decoder"]:14} {millions(pair["parameters"]):>12} '
                     f'{millions(pair["encoder_parameters"]):>10} {pair["flops"] / 1e9:8.1f}  '
                     f'{pair["size"][0]} x {pair["size"][1]}')
    return '\n'.join(lines)


def main(positional, config_file, overrides) -> int:
    command_line.refuse_arguments(positional)
    values = flags.FLAGS
    match = re.fullmatch(r'\(?\s*(\d+)\s*,\s*(\d+)\s*\)?', values.size)
    size = tuple(int(n) for n in match.groups()) if match else (0, 0)
    if min(size) < 1:
        raise InputError(f'--size={values.size} must be HEIGHT,WIDTH, two positive integers')
    if values.encoder not in (None, *models.ENCODERS):
        raise InputError(f'--encoder={values.encoder} is unknown\nvalid: {", ".join(models.ENCODERS)}')
    if values.classes < 1:
        raise InputError(f'--classes={values.classes} must be at least 1')
    if config_file:
        config = command_line.load_config(config_file, overrides)
    elif overrides:
        raise InputError(f'--config.{overrides[0][0]} needs a --config=FILE')
    else:
        config = base()
    pairs = rows(config.model, values.classes, size, [values.encoder] if values.encoder else tuple(models.ENCODERS))
    print(table(pairs) if values.markdown else text(pairs))
    return 0


def run() -> None:
    """Defines the flags and starts."""
    flags.DEFINE_string('encoder', None, 'one encoder, instead of all')
    flags.DEFINE_string('size', ','.join(map(str, SIZE)), 'HEIGHT,WIDTH of the image')
    flags.DEFINE_integer('classes', CLASSES, 'channels of the logits')
    flags.DEFINE_bool('markdown', False, 'a table for a page instead of lines')
    command_line.run(main)


if __name__ == '__main__':
    run()
