"""A model of the time of a step: compute from FLOPs, communication from bytes (ours).

    compute       = FLOPs a chip / (peak FLOP/s * utilisation)
    all-reduce    = sum over axes i of  2 (n_i - 1) / n_i * B_i / (d_i W)  +  2 (n_i - 1) L

B_i: bytes that axis i works on, B / (n_1 ... n_(i-1)): a reduce-scatter goes along one axis after the
other, each leaving a chip with its n_i-th part, and an all-gather back. W: a link's bytes/s in one
direction; d_i: 2 where wrap-around links make the axis a ring that is used in both directions, else 1.
L: latency of one hop. An all-gather of B bytes and a reduce-scatter of B bytes are half an all-reduce
each. An all-to-all of B bytes takes n B / (4 d W) on the longest axis n, whose middle half of them
crosses. A permutation sends its bytes over one link.

Two bounds: everything hidden behind the computation, and nothing. Synchronised BatchNorm can hardly
be hidden, because the forward pass waits for it; gradients can.
"""

import dataclasses
import math

from s4mim_jax.parallel.hlo import Instruction
from s4mim_jax.planning.topologies import Slice

HOP_SECONDS = 1e-6  # of one hop; not published, of the usual order
FORMULA = ('compute = FLOPs / (peak * utilisation), at least HBM traffic / HBM bandwidth; all-reduce = sum over '
           'axes of 2 (n - 1) / n * bytes / (directions * link) + 2 (n - 1) * hop, bytes / n after each axis')


@dataclasses.dataclass(frozen=True)
class StepTime:
    """Seconds of one step and its efficiency against one chip with the same work a chip.

    compute: as above. hbm: bytes that the program reads and writes over the memory's bandwidth, a
    second lower bound on the work of a chip, None if unknown. work: the larger of the two, or what was
    measured. communication. overlapped, exposed: (seconds, efficiency) of the two bounds.

    least_efficiency: nothing hidden, and the memory never waited for. The compiler counts traffic of
    arrays that stay on the chip too, so `hbm` may be too long and `exposed` too kind.
    """

    compute: float
    hbm: float | None
    work: float
    communication: float

    @property
    def overlapped(self) -> tuple[float, float]:
        seconds = max(self.work, self.communication)
        return seconds, self.work / seconds

    @property
    def exposed(self) -> tuple[float, float]:
        seconds = self.work + self.communication
        return seconds, self.work / seconds

    @property
    def least_efficiency(self) -> float:
        shortest = min(self.compute, self.work)
        return shortest / (shortest + self.communication)


def step_time(flops: float, instructions: list[Instruction], where: Slice, utilization: float,
              bytes_accessed: float | None = None, measured: float | None = None) -> StepTime:
    """The model of one step.

    Args:
      flops: of one chip. instructions: the program's collectives, see `parallel/hlo.py`.
      utilization: share of the peak that the chip reaches, in 0 .. 1.
      bytes_accessed: that the program reads and writes on one chip.
      measured: seconds of the step on one chip, in place of the model of its work.
    """
    compute = flops / (where.chip.peak_flops * utilization)
    hbm = None if bytes_accessed is None else bytes_accessed / where.chip.hbm_bandwidth
    work = measured if measured is not None else max(compute, hbm or 0.0)
    return StepTime(compute, hbm, work, sum(i.times * collective_time(i, where) for i in instructions))


def collective_time(instruction: Instruction, where: Slice) -> float:
    """Seconds of one collective by the formulas above."""
    axes, size = _axes(instruction.group, where), instruction.bytes
    link = where.chip.link_bandwidth
    if instruction.kind == 'all-reduce':
        return 2 * _scatter(size, axes, link)
    if instruction.kind == 'all-gather':
        return _scatter(size, axes, link)
    if instruction.kind == 'reduce-scatter':  # stated by its result, the part that a chip keeps
        return _scatter(size * instruction.group, axes, link)
    hops = sum(n - 1 for n, _ in axes)
    if instruction.kind in ('all-to-all', 'ragged-all-to-all'):
        longest, directions = max(axes, default=(1, 1))
        return size * longest / (4 * directions * link) + hops * HOP_SECONDS
    return size / link + HOP_SECONDS  # collective-permute, collective-broadcast


def _scatter(size: float, axes: list[tuple[int, int]], link: float) -> float:
    """Seconds of a reduce-scatter of `size` bytes along `axes`, (chips, directions), one after the other."""
    seconds = 0.0
    for chips, directions in axes:
        seconds += (chips - 1) / chips * size / (directions * link) + (chips - 1) * HOP_SECONDS
        size /= chips
    return seconds


def _axes(group: int, where: Slice) -> list[tuple[int, int]]:
    """(chips, directions) of the axes that a group of chips spans.

    All chips span every axis. A smaller group is taken to lie along the last axes first, where
    neighbouring devices are; a part of an axis is no ring.
    """
    spans = []
    for chips, ring in zip(reversed(where.axes), reversed(where.rings)):
        part = math.gcd(chips, group)
        if part > 1:
            spans.append((part, 2 if ring and part == chips else 1))
        group //= part
    return spans[::-1]
