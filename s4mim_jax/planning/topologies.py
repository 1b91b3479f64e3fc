"""Cloud TPU slices by name, and what the vendor publishes about their chips.

`v5e:4x4` names a generation and the chips along each axis of its interconnect. The cloud's own names
count otherwise: `v5litepod-16` and `v6e-16` count chips, `v4-32` and `v5p-32` TensorCores, two a chip.
"""

import dataclasses
import importlib.util
import math
import os

from s4mim_jax.config.errors import InputError

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """The vendor's published figures of one chip (Cloud TPU documentation, system architecture pages).

    peak_flops: bf16 FLOP/s. hbm_bytes; hbm_bandwidth: bytes/s. links: interconnect (ICI) ports;
    link_bandwidth: bytes/s of one link in one direction, which is the published bidirectional bandwidth
    of the chip over its links and over two. full_axis: an axis that this divides is closed to a ring by
    wrap-around links. cores: TensorCores, by which the cloud counts some generations.
    """

    peak_flops: float
    hbm_bytes: int
    hbm_bandwidth: float
    links: int
    link_bandwidth: float
    full_axis: int
    cores: int


# v5e, v6e: 2D, rings on whole axes of 16 chips. v4, v5p: 3D, rings on axes of whole cubes of 4 x 4 x 4.
CHIPS = {
    'v4': Chip(275e12, 32 * GIB, 1228e9, 6, 50e9, 4, 2),
    'v5e': Chip(197e12, 16 * GIB, 819e9, 4, 50e9, 16, 1),
    'v5p': Chip(459e12, 95 * GIB, 2765e9, 6, 100e9, 4, 2),
    'v6e': Chip(918e12, 32 * GIB, 1638e9, 4, 100e9, 16, 1),
}
_FLAT = ('1x1', '2x2', '2x4', '4x4', '4x8', '8x8', '8x16', '16x16')
_CUBIC = ('1x1x1', '2x2x1', '2x2x2', '2x2x4', '2x4x4', '4x4x4', '4x4x8', '4x8x8', '8x8x8', '8x8x16', '8x16x16',
          '16x16x16')
LAYOUTS = {'v4': _CUBIC, 'v5e': _FLAT, 'v5p': _CUBIC, 'v6e': _FLAT}
_CLOUD = {'v5litepod': 'v5e', 'v5e': 'v5e', 'v6e': 'v6e', 'v4': 'v4', 'v5p': 'v5p'}


@dataclasses.dataclass(frozen=True)
class Slice:
    """Chips of one generation along the axes of their interconnect."""

    generation: str
    axes: tuple[int, ...]

    @property
    def name(self) -> str:
        return f'{self.generation}:{"x".join(map(str, self.axes))}'

    @property
    def chips(self) -> int:
        return math.prod(self.axes)

    @property
    def chip(self) -> Chip:
        return CHIPS[self.generation]

    @property
    def cloud_name(self) -> str:
        """The accelerator type to ask the cloud for."""
        prefix = 'v5litepod' if self.generation == 'v5e' else self.generation
        return f'{prefix}-{self.chips * self.chip.cores}'

    @property
    def rings(self) -> tuple[bool, ...]:
        """Per axis: whether wrap-around links close it to a ring."""
        if self.chip.links == 6:  # smaller slices than a cube are cut out of one
            return tuple(all(n % self.chip.full_axis == 0 for n in self.axes) for _ in self.axes)
        return tuple(n == self.chip.full_axis for n in self.axes)


def parse(text: str) -> Slice:
    """`v5e:4x4`, or the cloud's name of a slice (`v5litepod-16`), as a Slice.

    Raises:
      InputError: a generation or layout that does not exist, with those that do.
    """
    generation, separator, layout = text.strip().lower().partition(':')
    if separator and generation in LAYOUTS and layout in LAYOUTS[generation]:
        return Slice(generation, tuple(map(int, layout.split('x'))))
    kind, _, count = generation.rpartition('-')
    if not separator and kind in _CLOUD and count.isdecimal():
        slices = {s.cloud_name.rpartition('-')[2]: s for s in _slices(_CLOUD[kind])}
        if count in slices:
            return slices[count]
        raise InputError(f'--topology={text}: the cloud has no {_CLOUD[kind]} slice of that size that is known here\n'
                         f'valid: {", ".join(s.cloud_name + " = " + s.name for s in slices.values())}')
    if generation in LAYOUTS:
        hint = ', '.join(f'{generation}:{layout}' for layout in LAYOUTS[generation])
    else:
        hint = '; '.join(f'{name}:' + ' '.join(layouts) for name, layouts in LAYOUTS.items())
    raise InputError(f'--topology={text}: unknown slice\nvalid: {hint}\n'
                     'or a name of the cloud: v5litepod-16 = v5e:4x4, v5litepod-256 = v5e:16x16, v4-32 = v4:2x2x4')


def _slices(generation: str) -> list[Slice]:
    return [Slice(generation, tuple(map(int, layout.split('x')))) for layout in LAYOUTS[generation]]


def check_compiler() -> None:
    """Raises InputError where libtpu, the compiler for TPUs, is not installed."""
    if importlib.util.find_spec('libtpu') is None:
        raise InputError('--topology needs libtpu, the compiler for TPUs, which is not installed here\n'
                         'install it with: launch/setup.sh plan (no TPU is needed)')


def prepare_environment() -> None:
    """Keeps JAX on this machine's CPU and libtpu from looking for a TPU. Must come before any use of a device."""
    import jax
    jax.config.update('jax_platforms', 'cpu')
    os.environ['TPU_SKIP_MDS_QUERY'] = '1'  # there is no metadata server to ask
    os.environ['ALLOW_MULTIPLE_LIBTPU_LOAD'] = '1'  # no TPU is opened, so two plans may run side by side
    # What libtpu would look for on a TPU machine, and warn of when missing.
    for name, value in {'TPU_ACCELERATOR_TYPE': 'v5litepod-4', 'TPU_WORKER_HOSTNAMES': 'localhost',
                        'TPU_STDERR_LOG_LEVEL': '3', 'TPU_MIN_LOG_LEVEL': '3'}.items():
        os.environ.setdefault(name, value)


def devices(wanted: Slice) -> list:
    """The slice's chips as devices to compile for; needs `prepare_environment` before."""
    from jax.experimental import topologies
    # Two TensorCores of a v4 chip are one device, as they are on the machine.
    options = {'chip_config_name': 'megacore'} if wanted.generation == 'v4' else {}
    return list(topologies.get_topology_desc(wanted.name, 'tpu', **options).devices)
