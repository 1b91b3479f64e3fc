"""Max pooling and photometric views on a processor: our forms against XLA's own and against PyTorch, in turns.

    python benchmarks/processor_forms.py [--rounds=9] [--output=FILE.json]

Pooling: the maximum over 3 x 3 and its gradient, as XLA:CPU makes them, as `models/pool_forms.py` does, and PyTorch in
its faster memory format. Views: the strong photometric view of a batch, all images at once with every operation
computed, and one by one with branches (`views/photometric.py`). Milliseconds of processor time, medians; one thread of
PyTorch: pin the command to one core. Needs PyTorch.
"""

import argparse
import functools
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

POOLS = {'shapes_start': (24, 32, 32, 16), 'shapes': (16, 48, 48, 32), 'ResNet-50 at 161': (4, 81, 81, 128)}
VIEWS = {'shapes_start': ('configs/shapes_start.py', 8, (64, 64)), 'camvid': ('configs/camvid.py', 8, (128, 160)),
         'voc': ('configs/voc.py', 2, (321, 321))}


def pools(shape) -> dict:
    """name -> function without arguments: maximum and gradient."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import torch

    from s4mim_jax.models.conv import max_pool
    x = jax.random.normal(jax.random.key(0), shape)
    gradient = jnp.ones((shape[0], -(-shape[1] // 2), -(-shape[2] // 2), shape[3]))

    def both(platform):
        def run(x, g):
            value, pull = jax.vjp(lambda x: max_pool(x, 3, 2, 'symmetric', platform), x)
            return value, pull(g)
        run = jax.jit(run)
        return lambda: jax.block_until_ready(run(x, gradient))

    def torch_both(form):
        a, g = (torch.from_numpy(np.array(v).transpose(0, 3, 1, 2).copy()).contiguous(memory_format=form)
                for v in (x, gradient))
        a.requires_grad_()

        def run():
            a.grad = None
            torch.nn.functional.max_pool2d(a, 3, 2, 1).backward(g)
        return run

    return {'XLA': both('gpu'), 'ours': both('cpu'), 'PyTorch': torch_both(torch.contiguous_format),
            'PyTorch channels-last': torch_both(torch.channels_last)}


def views(file: str, count: int, size) -> dict:
    import jax

    from s4mim_jax.config.command_line import load_config
    from s4mim_jax.parallel.target import built_for
    from s4mim_jax.views import photometric
    config = load_config(f'{ROOT / file}:unimatch', []).views
    keys, images = jax.random.split(jax.random.key(0), count), jax.random.uniform(jax.random.key(1), (count, *size, 3))

    def compiled(platform):
        with built_for(platform):
            run = jax.jit(functools.partial(photometric, config=config)).lower(keys, images).compile()
        return lambda: jax.block_until_ready(run(keys, images))

    return {'all at once': compiled('gpu'), 'one by one': compiled('cpu')}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--output', type=Path)
    arguments = parser.parse_args()
    from s4mim_jax.config import allocator
    allocator.keep_memory()
    import torch
    from interleaved import median_seconds
    from provenance import command, device
    torch.set_num_threads(1)
    rows = []
    for what, cases, make in (('max pooling', POOLS, lambda case: pools(case)),
                              ('photometric view', VIEWS, lambda case: views(*case))):
        for name, case in cases.items():
            seconds = median_seconds(make(case), arguments.rounds)
            rows.append({'what': what, 'case': name, 'ms': {way: round(1e3 * s, 2) for way, s in seconds.items()}})
            print(f'{what}, {name}: ' + ', '.join(f'{way} {ms}' for way, ms in rows[-1]['ms'].items()), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps({
            'command': command(__file__, sys.argv[1:]), **device(), 'torch': torch.__version__,
            'unit': 'ms of processor time', 'rounds': arguments.rounds, 'cases': rows}, indent=1) + '\n')


if __name__ == '__main__':
    main()
