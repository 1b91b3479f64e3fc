"""What benchmarks/ablation.py compares: every line is one --config argument of `configs/shapes_start.py`."""

from typing import NamedTuple


class Arm(NamedTuple):
    """argument: METHOD[,key=value...]. host: the arm that it is compared with. seeds: how many."""

    argument: str
    host: str | None
    seeds: int


FULL, SHORT = 5, 1
# One average for all, also of the arms of labels alone, which score it: an arm and its host differ in nothing else.
EMA = 'teacher.kind=ema,teacher.decay=0.99'
BALANCED = f'{EMA},class_balance=effective'  # chosen on val, three seeds of FixMatch (docs/evidence.md)
HOST = f'{BALANCED},tau=0.6'
# The whole of the 2023 code: four neighbours of weight exp(-1/2), class table, 60 to 100 % kept, its normaliser.
S4MC = (f's4mc,{HOST},selection.refinement=coherence,selection.connectivity=4,selection.decay=0.5,'
        'selection.normalizer=kept_squared')
PARTITION = f's4mc,{HOST},selection.refinement=none,selection.normalizer=kept_squared'  # what refinement adds
# Cells of an eighth of the crop; a term comes to the whole of its host.
MASKMATCH = f'maskmatch,{HOST},teacher.scales=(1.0,),masks.patch=8,masks.w_ratio=0.5'
MASKSUP = (f'fixmatch+masksup,{HOST},masked_supervision=0.125,similarity=0.05,similarity_loss=kl,'
           'masks.freeform=(0.2, 0.3)')
FOUR = ('s4mc', 'maskmatch', 'masksup', 's4mim')  # the union is compared with each of them too
ARMS = {
    'supervised': Arm(f'supervised,{BALANCED}', None, FULL),
    'fixmatch': Arm(f'fixmatch,{HOST}', 'supervised', FULL),
    's4mc': Arm(S4MC, 'fixmatch', FULL),
    's4mc, partition alone': Arm(PARTITION, 's4mc', SHORT),
    'maskmatch': Arm(MASKMATCH, 'fixmatch', SHORT),
    'masksup': Arm(MASKSUP, 'fixmatch', SHORT),
    'all labels': Arm(f'supervised,{BALANCED},split=all', 'supervised', SHORT),
}
# Every class alike; S4MC as in its later code, cells of a position of the encoder's map.
UNWEIGHTED = f'{EMA},tau=0.6'
FIRST_ROUND = {
    'supervised': Arm(f'supervised,{EMA}', None, 3),
    'all labels': Arm(f'supervised,{EMA},split=all', 'supervised', 1),
    'supervised, from scratch': Arm(f'supervised,{EMA},model.pretrained=None', 'supervised', 3),
    'fixmatch': Arm(f'fixmatch,{UNWEIGHTED}', 'supervised', 3),
    's4mc': Arm(f's4mc,{UNWEIGHTED},selection.connectivity=4,selection.decay=0.5,selection.alpha_end=0.15',
                'fixmatch', 1),
    'maskmatch': Arm(f'maskmatch,{UNWEIGHTED},teacher.scales=(1.0,),masks.patch=16,masks.w_ratio=0.5', 'fixmatch', 1),
    'masksup': Arm(f'fixmatch+masksup,{UNWEIGHTED},masked_supervision=0.125,similarity=0.05,similarity_loss=kl,'
                   'masks.freeform=(0.2, 0.3)', 'fixmatch', 1),
}
