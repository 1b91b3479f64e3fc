"""What each form of a convolution costs, and what that makes of whole networks.

    python benchmarks/convolutions.py [--parts=forms,networks] [--rounds=15] [--output=FILE.json]

Every case compares ways to compute the same thing, forward and backward. The ways take turns within
one process, so a busy machine slows them alike; medians over the rounds, in milliseconds of the
clock, with the fastest round and the processor's own time beside them.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import jax
import jax.numpy as jnp
from provenance import command, device

from s4mim_jax import models
from s4mim_jax.config import base
from s4mim_jax.models.conv import choose, convolve, pads

# name: (input [B, H, W, C], outputs, kernel, stride, dilation, forms)
FORMS = {
    'atrous 6, crop 321': ((4, 21, 21, 2048), 256, 3, 1, 6, ('xla', 'sliced')),
    'atrous 12, crop 321': ((4, 21, 21, 2048), 256, 3, 1, 12, ('xla', 'sliced')),
    'atrous 18, crop 321': ((4, 21, 21, 2048), 256, 3, 1, 18, ('xla', 'sliced')),
    'atrous 2, crop 321': ((4, 21, 21, 512), 512, 3, 1, 2, ('xla', 'sliced')),
    'atrous 2, crop 128x160': ((8, 8, 10, 512), 512, 3, 1, 2, ('xla', 'sliced')),
    'atrous 6, crop 128x160': ((8, 8, 10, 320), 128, 3, 1, 6, ('xla', 'sliced')),
    'plain 3x3': ((8, 32, 40, 128), 128, 3, 1, 1, ('xla', 'sliced')),
    'depthwise': ((8, 64, 80, 32), 0, 3, 1, 1, ('xla', 'shifted')),
    'depthwise, stride 2': ((8, 64, 80, 96), 0, 3, 2, 1, ('xla', 'shifted')),
    'depthwise, many channels': ((8, 8, 10, 960), 0, 3, 1, 2, ('xla', 'shifted')),
    '1x1, expanding': ((8, 64, 80, 16), 96, 1, 1, 1, ('xla', 'pointwise')),
    '1x1, projecting': ((8, 64, 80, 96), 24, 1, 1, 1, ('xla', 'pointwise')),
    '1x1, small map': ((8, 8, 10, 960), 160, 1, 1, 1, ('xla', 'pointwise')),
}
CROP, BATCH, CLASSES = (128, 160), 8, 11


def take_turns(ways: dict, rounds: int) -> dict:
    """name -> (compiled function, arguments) timed in turns: name -> milliseconds."""
    clock, processor = {n: [] for n in ways}, {n: [] for n in ways}
    for function, arguments in ways.values():
        jax.block_until_ready(function(*arguments))
    for _ in range(rounds):
        for name, (function, arguments) in ways.items():
            start, begin = time.perf_counter(), time.process_time()
            jax.block_until_ready(function(*arguments))
            clock[name].append(1e3 * (time.perf_counter() - start))
            processor[name].append(1e3 * (time.process_time() - begin))
    return {n: dict(median=round(statistics.median(clock[n]), 2), fastest=round(min(clock[n]), 2),
                    processor=round(statistics.median(processor[n]), 2)) for n in ways}


def form_case(shape, outputs, size, stride, dilation, forms):
    """Forward and both gradients of one convolution in several forms."""
    kernel_shape = (size, size, shape[-1], outputs) if outputs else (size, size, 1, shape[-1])
    x = jax.random.normal(jax.random.key(0), shape)
    kernel = jax.random.normal(jax.random.key(1), kernel_shape)

    def way(form):
        def run(x, kernel):
            y, pull = jax.vjp(lambda x, k: convolve(x, k, stride=stride, dilation=dilation, form=form),
                              x, kernel)
            return y, pull(y)
        return jax.jit(run).lower(x, kernel).compile(), (x, kernel)

    around = tuple(pads(n, size, stride, dilation, 'symmetric') for n in shape[1:3])
    chosen = choose(shape[1:3], size, stride, dilation, not outputs, around, jax.default_backend())
    return {form: way(form) for form in forms}, chosen


def network(encoder: str, platform_name: str | None = None):
    """Forward + backward of a training step's loss: 8 x 128 x 160, DeepLabV3+ of width 128, stride 16."""
    config = base().model
    config.encoder, config.decoder_width, config.padding = encoder, 128, 'same'
    module = models.build(config, CLASSES, platform=platform_name)
    variables = models.init_variables(module, jax.random.key(0))
    images = jax.random.normal(jax.random.key(1), (BATCH, *CROP, 3))
    labels = jax.random.randint(jax.random.key(2), (BATCH, *CROP), 0, CLASSES)

    def loss(params, statistics, images, labels):
        outputs, changed = module.apply({'params': params, 'batch_stats': statistics}, images, True,
                                        mutable=['batch_stats'])
        picked = jnp.take_along_axis(jax.nn.log_softmax(outputs.logits), labels[..., None], -1)
        return -picked.mean(), changed

    arguments = (variables['params'], variables['batch_stats'], images, labels)
    return jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(*arguments).compile(), arguments


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('--parts', default='forms,networks', help='forms, networks or both')
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--output', help='JSON file')
    options = parser.parse_args()
    parts = options.parts.split(',')
    if not set(parts) <= {'forms', 'networks'} or options.rounds < 1:
        parser.error('--parts takes forms, networks or both; --rounds at least 1')
    result = dict(command=command(__file__, sys.argv[1:]), **device(),
                  rounds=options.rounds, unit='ms, forward + backward')
    if 'forms' in parts:
        result['forms'] = {}
        for name, case in FORMS.items():
            ways, chosen = form_case(*case)
            times = take_turns(ways, options.rounds)
            result['forms'][name] = dict(shape=case[0], chosen=chosen, **times)
            row = ', '.join(f'{form} {t["median"]:.1f}' for form, t in times.items())
            print(f'{name:26} {"x".join(map(str, case[0])):14} {row}  -> {chosen}', flush=True)
    if 'networks' in parts:
        ways = {'mobilenet_v2': network('mobilenet_v2'), 'resnet18': network('resnet18')}
        if jax.default_backend() == 'cpu':  # what the network costs without the forms of this project
            ways["mobilenet_v2, XLA's own"] = network('mobilenet_v2', 'none')
        times = take_turns(ways, options.rounds)
        ratio = times['mobilenet_v2']['median'] / times['resnet18']['median']
        result['networks'] = dict(input=[BATCH, *CROP, 3], decoder='deeplabv3plus, width 128, low level 48',
                                  output_stride=16, times=times, mobilenet_over_resnet18=round(ratio, 3))
        for name, t in times.items():
            print(f'{name:26} {t["median"]:8.1f} ms (fastest {t["fastest"]:.1f})', flush=True)
        print(f'MobileNetV2 takes {ratio:.2f} of the time of ResNet-18')
    if options.output:
        Path(options.output).parent.mkdir(parents=True, exist_ok=True)
        Path(options.output).write_text(json.dumps(result, indent=1) + '\n', encoding='utf8')


if __name__ == '__main__':
    main()
