"""What benchmarks/ablation.py compares: every arm is one --config argument of its table's config file."""

from typing import NamedTuple


class Arm(NamedTuple):
    """argument: METHOD[,key=value...]. host: the arm that it is compared with. seeds: how many."""

    argument: str
    host: str | None
    seeds: int


FULL, SHORT, SINGLE = 5, 3, 1
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
UNMASKED = MASKMATCH.replace('w_ratio=0.5', 'w_ratio=0.0')  # the same passes, nothing hidden: what the mask is worth
LIGHT = 'masked_supervision=0.125,similarity=0.05,similarity_loss=kl,masks.freeform=(0.2, 0.3)'
MASKSUP = f'fixmatch+masksup,{HOST},{LIGHT}'
# S4MIM needs a map on which a class has hidden and visible positions: 8 x 8 at stride 8. A tenth of 16 channels is
# dropped where the published networks drop half of 2,048 (ours). L_pix weighs so that its gradient is about a tenth of
# the host's (docs/evidence.md).
FINE = f'{HOST},model.output_stride=8,feature_dropout=0.1'
PIXELS = 'class_wise_mim=0.4'
S4MIM = f"s4mim,{FINE},{PIXELS},mim.prototype_from=unmasked,mim.semantic_views=('w', 's'),semantic_mim=0.25"
# All four at once on S4MIM's base, each as lightly as alone; copies are counted once, as in configs/methods/union.py.
UNION = (f'union,{FINE},{PIXELS},mim.prototype_from=unmasked,masked_consistency=0.125,semantic_mim=0.125,'
         'masked_supervision=0.125,similarity=0.05,similarity_loss=kl,masks.freeform=(0.2, 0.3),masks.patch=8,'
         'masks.w_ratio=0.5,teacher.scales=(1.0,),selection.refinement=coherence,selection.connectivity=4,'
         'selection.decay=0.5,selection.normalizer=kept_squared')
FOUR = ('s4mc', 'maskmatch', 'masksup', 's4mim')  # the union is compared with each of them too
ARMS = {
    'supervised': Arm(f'supervised,{BALANCED}', None, FULL),
    'fixmatch': Arm(f'fixmatch,{HOST}', 'supervised', FULL),
    's4mc': Arm(S4MC, 'fixmatch', FULL),
    's4mc, partition alone': Arm(PARTITION, 's4mc', SINGLE),
    'maskmatch': Arm(MASKMATCH, 'fixmatch', SHORT),
    'maskmatch, nothing hidden': Arm(UNMASKED, 'maskmatch', SHORT),
    'masksup': Arm(MASKSUP, 'fixmatch', SHORT),
    's4mim base': Arm(f's4mim_base,{FINE}', 'supervised', SHORT),
    's4mim': Arm(S4MIM, 's4mim base', SHORT),
    's4mim, class-wise pixels alone': Arm(f's4mim_pixel,{FINE},{PIXELS}', 's4mim base', SINGLE),
    's4mim, plain pixels alone': Arm(f's4mim_plain,{FINE},{PIXELS}', 's4mim, class-wise pixels alone', SINGLE),
    'union': Arm(UNION, 's4mim base', SINGLE),
    'all labels': Arm(f'supervised,{BALANCED},split=all', 'supervised', SINGLE),
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
BEGUN = 500  # labelled-only steps on CamVid: S4MC trusts most of what an untrained network says, and loses by it


def camvid(split: str) -> dict[str, Arm]:
    """Arms on photographs: `configs/camvid_small.py`, whose affine BatchNorm is held, with ImageNet weights.

    Chosen on val of seed 0: class weights, tau, and that all begin with one labelled-only network (docs/evidence.md).
    Cells are positions of the map, 16 pixels; the masked terms are as light as on `shapes`, L_pix weighs what S4MIM
    begins with.
    """
    labels = f'split={split},{BALANCED}'
    host = f'{labels},tau=0.7'
    pixels = f's4mim_pixel,{host},masks.patch=16'
    s4mim = f"{host},masks.patch=16,mim.prototype_from=unmasked"
    return {
        'supervised': Arm(f'supervised,{labels}', None, SHORT),
        'fixmatch': Arm(f'fixmatch,{host}', 'supervised', SHORT),
        's4mc': Arm(f's4mc,{host},selection.refinement=coherence,selection.connectivity=4,selection.decay=0.5,'
                    'selection.normalizer=kept_squared', 'fixmatch', SHORT),
        'maskmatch': Arm(f'maskmatch,{host},teacher.scales=(1.0,),masks.patch=16,masks.w_ratio=0.5', 'fixmatch', SHORT),
        'masksup': Arm(f'fixmatch+masksup,{host},{LIGHT}', 'fixmatch', SHORT),
        's4mim base': Arm(f's4mim_base,{host}', 'supervised', SHORT),
        's4mim': Arm(f"s4mim,{s4mim},mim.semantic_views=('w', 's'),semantic_mim=0.25", 's4mim base', SHORT),
        's4mim, class-wise pixels alone': Arm(pixels, 's4mim base', SHORT),
        's4mim, plain pixels alone': Arm(f'{pixels},mim.scope=image', 's4mim, class-wise pixels alone', SHORT),
        'union': Arm(f'union,{s4mim},masked_consistency=0.125,semantic_mim=0.125,{LIGHT},masks.w_ratio=0.5,'
                     'teacher.scales=(1.0,),selection.refinement=coherence,selection.connectivity=4,'
                     'selection.decay=0.5,selection.normalizer=kept_squared', 's4mim base', SHORT),
    }


class Table(NamedTuple):
    """config: of every arm. folder: of the JSONs, in benchmarks/results. weights: every arm begins
    with a given file, whose BatchNorm is held. begin: labelled-only steps before every arm, the same for all."""

    arms: dict[str, Arm]
    config: str
    folder: str
    weights: bool = False
    begin: int = 0


TABLES = {
    'shapes': Table(ARMS, 'configs/shapes_start.py', 'evidence'),
    'first_round': Table(FIRST_ROUND, 'configs/shapes_start.py', 'history/first_round'),
    'camvid_1_30': Table(camvid('1_30'), 'configs/camvid_small.py', 'evidence_camvid/1_30', True, BEGUN),
    'camvid_1_16': Table(camvid('1_16'), 'configs/camvid_small.py', 'evidence_camvid/1_16', True, BEGUN),
}
