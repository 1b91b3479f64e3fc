"""What chose the form of each convolution on a processor: forms against PyTorch, forward and both gradients.

    python benchmarks/convolution_forms.py [--as_it_comes] [--rounds=5] [--output=FILE.json]

Forms of a 3x3 convolution: XLA's own; one product over image columns (all taps side by side); a product a tap, with the
first factor transposed, and for kernel gradients as it lies (`tapped`). Forms of
a first convolution, with stride: XLA's own; pixels folded into channels. Forms of the kernel gradient of a 1x1
convolution: over four axes, and with all pixels as one axis. PyTorch has one thread: pin the command to one core. Forms
take turns; figures are processor time over that of the faster memory format of PyTorch, medians. With XLA's flag of
`config/xla_flags.py`, with --as_it_comes without it. Needs PyTorch.
"""

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from interleaved import median_seconds

from s4mim_jax.config import allocator, xla_flags

# [B, H, W, C], outputs, stride, dilation of 3x3 convolutions, from the networks of benchmarks/torch_steps.py
SPATIAL = {'stage 1, ResNet-50': ((4, 41, 41, 64), 64, 1, 1), 'stage 2': ((4, 21, 21, 128), 128, 1, 1),
           'stage 3': ((4, 11, 11, 256), 256, 1, 1), 'stage 4, dilated': ((4, 11, 11, 512), 512, 1, 2),
           'decoder': ((4, 41, 41, 304), 256, 1, 1), 'strided': ((4, 41, 41, 128), 128, 2, 1),
           'decoder at 321': ((2, 81, 81, 304), 256, 1, 1), 'third of the stem at 321': ((2, 161, 161, 64), 128, 1, 1),
           'stage 1, shapes': ((16, 24, 24, 32), 32, 1, 1), 'decoder, camvid': ((16, 32, 40, 88), 64, 1, 1)}
# the same with the side of the kernel, of first convolutions; their input needs no gradient
STEMS = {'stem 7x7, shapes': ((16, 96, 96, 3), 32, 7, 2, 1), 'stem 7x7, shapes_start': ((16, 64, 64, 3), 16, 7, 2, 1),
         'stem 3x3, ResNet-50': ((4, 161, 161, 3), 64, 3, 2, 1), 'stem 3x3, camvid': ((16, 128, 160, 3), 32, 3, 2, 1)}
POINTWISE = {'narrow': ((8, 64, 80, 96), 24), 'expanding': ((8, 64, 80, 16), 96),
             'many channels': ((8, 8, 10, 960), 160), 'bottleneck': ((4, 41, 41, 256), 64)}


def spatial_forms(stride: int, dilation: int) -> dict:
    """name -> function of (x, kernel, gradient)."""
    import jax
    import jax.numpy as jnp

    from s4mim_jax.models.conv import convolve

    def windows(x, outputs):
        padded = jnp.pad(x, ((0, 0), (dilation,) * 2, (dilation,) * 2, (0, 0)))
        reach = [(n - 1) * stride + 1 for n in outputs]
        return [padded[:, i:i + reach[0]:stride, j:j + reach[1]:stride]
                for i in range(0, 3 * dilation, dilation) for j in range(0, 3 * dilation, dilation)]

    flat = lambda values: values.reshape(-1, values.shape[-1])
    plain = lambda x, k: convolve(x, k, stride=stride, dilation=dilation, form='xla')
    columns = lambda x, g: jnp.concatenate(windows(x, g.shape[1:3]), -1)
    return {
        'forward, XLA': lambda x, k, g: plain(x, k),
        'forward, columns': lambda x, k, g: columns(x, g) @ k.reshape(-1, k.shape[-1]),
        'forward, taps': lambda x, k, g: sum(seen @ tap for seen, tap in zip(
            windows(x, g.shape[1:3]), k.reshape(9, *k.shape[2:]))),
        'input, XLA': lambda x, k, g: jax.vjp(lambda x: plain(x, k), x)[1](g)[0],
        'kernel, XLA': lambda x, k, g: jax.vjp(lambda k: plain(x, k), k)[1](g)[0],
        'kernel, columns': lambda x, k, g: flat(columns(x, g)).T @ flat(g),
        'kernel, taps': lambda x, k, g: jnp.stack([flat(seen).T @ flat(g) for seen in windows(x, g.shape[1:3])]),
        'kernel, tapped': lambda x, k, g: jax.vjp(
            lambda k: convolve(x, k, stride=stride, dilation=dilation, form='tapped'), k)[1](g)[0],
    }


def stem_forms(stride: int) -> dict:
    import jax

    from s4mim_jax.models.conv import convolve
    forward = {form: lambda x, k, form=form: convolve(x, k, stride=stride, form=form) for form in ('xla', 'folded')}
    return {'forward, XLA': lambda x, k, g: forward['xla'](x, k),
            'forward, folded': lambda x, k, g: forward['folded'](x, k),
            'kernel, XLA': lambda x, k, g: jax.vjp(lambda k: forward['xla'](x, k), k)[1](g)[0]}


def pointwise_forms() -> dict:
    import jax.numpy as jnp
    flat = lambda values: values.reshape(-1, values.shape[-1])
    return {'kernel, four axes': lambda x, k, g: jnp.einsum('bhwc,bhwd->cd', x, g),
            'kernel, pixels as one axis': lambda x, k, g: jnp.einsum('nc,nd->cd', flat(x), flat(g))}


def torch_ways(x, kernel, gradient, stride: int, dilation: int) -> dict:
    """(direction, memory format) -> function without arguments."""
    import numpy as np
    import torch
    size = kernel.shape[0]
    turned = [torch.from_numpy(np.array(np.transpose(value, axes))) for value, axes in (
        (x, (0, 3, 1, 2)), (kernel, (3, 2, 0, 1)), (gradient, (0, 3, 1, 2)))]
    shape = ([stride] * 2, [dilation * (size // 2)] * 2, [dilation] * 2)
    ways = {}
    for name, form in (('contiguous', torch.contiguous_format), ('channels last', torch.channels_last)):
        a, k, g = (value.contiguous(memory_format=form) for value in turned)
        ways['forward', name] = lambda a=a, k=k: torch.conv2d(a, k, None, *shape)
        for direction, mask in (('input', [True, False, False]), ('kernel', [False, True, False])):
            ways[direction, name] = lambda a=a, k=k, g=g, mask=mask: torch.ops.aten.convolution_backward(
                g, a, k, [0], *shape, False, [0, 0], 1, mask)
    return ways


def measure(shape, outputs: int, size: int, stride: int, dilation: int, forms: dict, rounds: int) -> dict:
    import jax
    import jax.numpy as jnp
    x = jax.random.normal(jax.random.key(0), shape)
    kernel = jax.random.normal(jax.random.key(1), (size, size, shape[-1], outputs))
    gradient = jnp.ones((shape[0], *(-(-n // stride) for n in shape[1:3]), outputs))
    ways = {name: (lambda run=jax.jit(form).lower(x, kernel, gradient).compile():
                   jax.block_until_ready(run(x, kernel, gradient))) for name, form in forms.items()}
    wanted = {name.partition(',')[0] for name in forms}
    ways |= {key: way for key, way in torch_ways(x, kernel, gradient, stride, dilation).items() if key[0] in wanted}
    median = median_seconds(ways, rounds)
    best = {d: min(median[key] for key in median if isinstance(key, tuple) and key[0] == d) for d in wanted}
    return {'pytorch_ms': {d: round(1e3 * value, 2) for d, value in sorted(best.items())},
            'ratios': {name: round(median[name] / best[name.partition(',')[0]], 2) for name in forms}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--as_it_comes', action='store_true', help='without the flag')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--output', type=Path)
    arguments = parser.parse_args()
    os.environ[xla_flags.SWITCH] = 'off' if arguments.as_it_comes else 'on'
    flag = xla_flags.for_cpu()
    allocator.keep_memory()  # as the commands do
    import torch
    from provenance import command, device
    torch.set_num_threads(1)
    rows = []
    cases = [(name, (*case[:2], 3, *case[2:]), spatial_forms(*case[2:])) for name, case in SPATIAL.items()]
    cases += [(name, case, stem_forms(case[3])) for name, case in STEMS.items()]
    cases += [(name, (*case, 1, 1, 1), pointwise_forms()) for name, case in POINTWISE.items()]
    for name, case, forms in cases:
        rows.append({'case': name, 'input': list(case[0]), 'outputs': case[1], 'kernel': case[2], 'stride': case[3],
                     'dilation': case[4], **measure(*case, forms, arguments.rounds)})
        found = rows[-1]['ratios'].items()
        print(f'{name:<20}' + ', '.join(f'{form} {ratio:.2f}' for form, ratio in found), flush=True)
        if arguments.output:
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(json.dumps({
                'command': command(__file__, sys.argv[1:]), **device(), 'torch': torch.__version__, 'xla_flag': flag,
                'unit': 'processor time over the faster PyTorch', 'rounds': arguments.rounds, 'cases': rows},
                indent=1) + '\n')


if __name__ == '__main__':
    main()
