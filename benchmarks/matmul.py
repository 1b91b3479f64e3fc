"""The measured ceiling: what a large matrix product reaches in a precision, on the devices that steps run on.

    python benchmarks/matmul.py [--precisions=float32,bfloat16] [--size=N]

A step is compared with this and not with a data sheet: the clock, the power limit and JAX's default matmul precision
(TensorFloat-32 for float32 on recent GPUs) are then the same on both sides.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

# Side of the matrices and products one after the other in a program: large enough that starting it costs nothing.
SIZES = {'cpu': (1536, 2), 'gpu': (8192, 8), 'tpu': (8192, 8)}


def matmul_flops(precision: str, devices: list | None = None, *, size: int | None = None, rounds: int = 5) -> dict:
    """Floating-point operations a second of one device while all `devices` multiply at once.

    Args:
      precision: 'float32' or 'bfloat16', of operands and results.
      devices: default: all local ones.
      size: side of the square matrices; default by platform.
      rounds: the fastest counts, for a ceiling.

    Returns:
      flops_per_second, size, chain (products one after the other in a program), seconds (of the fastest round).
    """
    devices = devices or jax.local_devices()
    side, chain = SIZES.get(devices[0].platform, SIZES['cpu'])
    size = size or side
    spread = NamedSharding(Mesh(np.asarray(devices), ('devices',)), PartitionSpec('devices'))

    def begin(key):
        draw = jax.random.normal(key, (len(devices), size, size), precision)
        return draw, draw / jnp.asarray(size ** 0.5, precision)  # products keep their magnitude

    def run(x, w):
        for _ in range(chain):  # each needs the one before: none can be left out
            x = jax.lax.dot_general(x, w, (((2,), (1,)), ((0,), (0,))), preferred_element_type=x.dtype)
        return x

    operands = jax.jit(begin, out_shardings=(spread, spread))(jax.random.key(0))
    program = jax.jit(run, in_shardings=(spread, spread), out_shardings=spread).lower(*operands).compile()
    jax.block_until_ready(program(*operands))
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        jax.block_until_ready(program(*operands))
        seconds.append(time.perf_counter() - started)
    return {'flops_per_second': chain * 2 * size ** 3 / min(seconds), 'size': size, 'chain': chain,
            'seconds': min(seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--precisions', default='float32,bfloat16')
    parser.add_argument('--size', type=int)
    arguments = parser.parse_args()
    for precision in arguments.precisions.split(','):
        result = matmul_flops(precision, size=arguments.size)
        print(f'{precision:<10}{result["flops_per_second"] / 1e12:10.3f} TFLOP/s a device, {result["chain"]} products '
              f'of {result["size"]} x {result["size"]} in {1e3 * result["seconds"]:.1f} ms')


if __name__ == '__main__':
    main()
