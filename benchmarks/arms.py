"""What benchmarks/ablation.py compares: every line is one --config argument of a dataset's config."""

from typing import NamedTuple


class Arm(NamedTuple):
    """argument: METHOD[,key=value...]. host: the arm that it is compared with. seeds: how many."""

    argument: str
    host: str | None
    seeds: int


FULL, SHORT = 5, 2
# All on one teacher, an EMA, so that a host and what is added to it differ in the addition alone.
EMA = 'teacher.kind=ema'
ARMS = {
    # Baselines and the ceiling.
    'supervised': Arm('supervised', None, FULL),
    'all labels': Arm('supervised,split=all', 'supervised', FULL),
    'fixmatch': Arm(f'fixmatch,{EMA}', 'supervised', FULL),
    'unimatch': Arm(f'unimatch,{EMA}', 'supervised', FULL),
    'unimatch_v2': Arm('unimatch_v2', 'supervised', FULL),
    # The four methods and their union.
    's4mc': Arm(f's4mc,{EMA}', 'fixmatch', FULL),
    'maskmatch': Arm('maskmatch', 'fixmatch', FULL),
    'masksup': Arm(f'fixmatch+masksup,{EMA}', 'fixmatch', FULL),
    's4mim': Arm(f's4mim,{EMA}', 's4mim base', FULL),
    'union': Arm('union', 'fixmatch', FULL),
    # MaskSup for itself, and its parts.
    'masksup, labels only': Arm('masksup', 'supervised', SHORT),
    'masksup, context only': Arm('masksup,similarity=0', 'supervised', SHORT),
    # S4MIM's minimum ablation.
    's4mim base': Arm(f's4mim_base,{EMA}', 'fixmatch', FULL),
    's4mim, plain MIM': Arm(f's4mim_plain,{EMA}', 's4mim base', SHORT),
    's4mim, class-wise MIM': Arm(f's4mim_pixel,{EMA}', 's4mim, plain MIM', SHORT),
    's4mim, aggregation': Arm(f's4mim_aggregation,{EMA}', 's4mim base', SHORT),
    's4mim, semantic': Arm(f's4mim_semantic,{EMA}', 's4mim base', SHORT),
    # S4MC: each switch alone, the place of the refinement, and as many pixels by raw margin.
    's4mc, partition alone': Arm(f's4mc,{EMA},selection.refinement=none', 'fixmatch', SHORT),
    's4mc, refinement alone': Arm(f's4mc,{EMA},selection.threshold=margin', 'fixmatch', SHORT),
    's4mc, full resolution': Arm(f's4mc,{EMA},selection.resolution=full', 's4mc', SHORT),
    's4mc, control: raw margin, same share': Arm(f's4mc,{EMA},selection.matched=unrefined', 's4mc', SHORT),
    # MaskMatch: each part alone, and its two controls.
    'maskmatch, no ensemble': Arm('maskmatch,teacher.scales=(1.0,)', 'fixmatch', SHORT),
    'maskmatch, ensemble alone': Arm(f'fixmatch,{EMA},teacher.scales=(0.75,1.0,1.25)', 'fixmatch', SHORT),
    'maskmatch, control: second view unmasked': Arm('maskmatch,masks.w_ratio=0', 'maskmatch', SHORT),
    'maskmatch, control: share of one scale': Arm('maskmatch,selection.matched=single_scale', 'maskmatch', SHORT),
    # The union against each of the four.
    'union, without s4mc': Arm('union,selection.refinement=none,selection.threshold=confidence', 'union', SHORT),
    'union, without s4mim': Arm('union,semantic_mim=0,class_wise_mim=0,feature_aggregation=0', 'union', SHORT),
}
