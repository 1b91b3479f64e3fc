"""What benchmarks/ablation.py compares: every line is one --config argument of `configs/shapes_start.py`."""

from typing import NamedTuple


class Arm(NamedTuple):
    """argument: METHOD[,key=value...]. host: the arm that it is compared with. seeds: how many."""

    argument: str
    host: str | None
    seeds: int


FULL, SHORT = 3, 1
# One average for all, also of the arms of labels alone, which score it: an arm and its host differ in nothing else.
EMA = 'teacher.kind=ema,teacher.decay=0.99'
HOST = f'{EMA},tau=0.6'  # chosen on val, seed 0 (docs/evidence.md)
# As released: four neighbours, each of weight exp(-1/2); the schedule ends with 85 % kept.
S4MC = f's4mc,{HOST},selection.connectivity=4,selection.decay=0.5,selection.alpha_end=0.15'
# A cell is a position of the encoder's map; a term comes to the whole of its host.
MASKMATCH = f'maskmatch,{HOST},teacher.scales=(1.0,),masks.patch=16,masks.w_ratio=0.5'
MASKSUP = (f'fixmatch+masksup,{HOST},masked_supervision=0.125,similarity=0.05,similarity_loss=kl,'
           'masks.freeform=(0.2, 0.3)')
FOUR = ('s4mc', 'maskmatch', 'masksup', 's4mim')  # the union is compared with each of them too
ARMS = {
    'supervised': Arm(f'supervised,{EMA}', None, FULL),
    'all labels': Arm(f'supervised,{EMA},split=all', 'supervised', SHORT),
    'supervised, from scratch': Arm(f'supervised,{EMA},model.pretrained=None', 'supervised', FULL),
    'fixmatch': Arm(f'fixmatch,{HOST}', 'supervised', FULL),
    's4mc': Arm(S4MC, 'fixmatch', SHORT),
    'maskmatch': Arm(MASKMATCH, 'fixmatch', SHORT),
    'masksup': Arm(MASKSUP, 'fixmatch', SHORT),
}
