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
# Chosen on validation (docs/what_was_tried.md): in this narrow network weaker masks, less dropout and gentler
# neighbours than the methods' defaults.
DROPOUT = 'feature_dropout=0.1'
S4MC = f's4mc,{EMA},selection.decay=1.0,selection.threshold=margin,selection.tau_margin=0.5'
EQUAL = 'weighting=equal'  # the committed runs of ideas added to a host are of this form
MASKMATCH = f'maskmatch,{EQUAL},masks.w_ratio=0.5'
MASKSUP = 'masks.freeform=(0.2, 0.3)'
# Cells of one position of the encoder's map in all arms with S4MIM's parts, also where no part compares features.
MIM = f'{EQUAL},{EMA},{DROPOUT},masks.patch=16,masks.x_ratio=0.3,masks.s_ratio=0.3,masks.w_ratio=0.3'
UNION = (f'union,{EQUAL},{DROPOUT},{MASKSUP},masks.patch=16,masks.w_ratio=0.5,masks.s_ratio=0.3,selection.decay=1.0,'
         'selection.threshold=margin,selection.tau_margin=0.5')
THREE = ('consistency', 'feature_perturbation', 'masked_consistency')  # of the union, without S4MIM's fourth
FOUR = ('s4mc', 'maskmatch', 'masksup', 's4mim')  # the union is compared with each of them too
ARMS = {
    # Baselines and the ceiling.
    'supervised': Arm('supervised', None, FULL),
    'all labels': Arm('supervised,split=all', 'supervised', FULL),
    'fixmatch': Arm(f'fixmatch,{EMA}', 'supervised', FULL),
    'unimatch': Arm(f'unimatch,{EMA},{DROPOUT}', 'supervised', FULL),
    'unimatch_v2': Arm('unimatch_v2', 'supervised', FULL),
    # The four methods and their union.
    's4mc': Arm(S4MC, 'fixmatch', FULL),
    'maskmatch': Arm(MASKMATCH, 'fixmatch', FULL),
    'masksup': Arm(f'fixmatch+masksup,{EQUAL},{EMA},{MASKSUP}', 'fixmatch', FULL),
    's4mim base': Arm(f's4mim_base,{EMA},{DROPOUT}', 'fixmatch', FULL),
    's4mim': Arm(f's4mim,{MIM}', 's4mim base', FULL),
    'union': Arm(UNION, 'fixmatch', FULL),
    # MaskSup for itself, and its parts.
    'masksup, labels only': Arm(f'masksup,{MASKSUP}', 'supervised', SHORT),
    'masksup, context only': Arm(f'masksup,{MASKSUP},similarity=0', 'supervised', SHORT),
    # S4MIM's minimum ablation.
    's4mim, plain MIM': Arm(f's4mim_plain,{MIM}', 's4mim base', SHORT),
    's4mim, class-wise MIM': Arm(f's4mim_pixel,{MIM}', 's4mim, plain MIM', SHORT),
    's4mim, aggregation': Arm(f's4mim_aggregation,{MIM}', 's4mim base', SHORT),
    's4mim, semantic': Arm(f's4mim_semantic,{MIM}', 's4mim base', SHORT),
    # S4MC as published, each switch alone, the place of the refinement, and as many pixels by raw margin.
    's4mc, as published': Arm(f's4mc,{EMA}', 'fixmatch', SHORT),
    's4mc, partition alone': Arm(f's4mc,{EMA},selection.refinement=none', 'fixmatch', SHORT),
    's4mc, full resolution': Arm(f'{S4MC},selection.resolution=full', 's4mc', SHORT),
    's4mc, control: raw margin, same share': Arm(f'{S4MC},selection.matched=unrefined', 's4mc', SHORT),
    # MaskMatch with the published share hidden, each part alone, and its two controls.
    'maskmatch, 70 % hidden': Arm(f'maskmatch,{EQUAL}', 'fixmatch', SHORT),
    'maskmatch, no ensemble': Arm(f'{MASKMATCH},teacher.scales=(1.0,)', 'fixmatch', SHORT),
    'maskmatch, ensemble alone': Arm(f'fixmatch,{EMA},teacher.scales=(0.75,1.0,1.25)', 'fixmatch', SHORT),
    'maskmatch, control: second view unmasked': Arm(f'maskmatch,{EQUAL},masks.w_ratio=0', 'maskmatch', SHORT),
    'maskmatch, control: share of one scale': Arm(f'{MASKMATCH},selection.matched=single_scale', 'maskmatch', SHORT),
    # What each of the four adds to the union: the union of the other three, whose cross-entropies still weigh one half
    # on each side. S4MIM keeps the masked copies that it shares with MaskMatch and MaskSup, with its own masks.
    'union, without s4mc': Arm(f'{UNION},selection.refinement=none,selection.threshold=confidence', 'union', SHORT),
    'union, without maskmatch': Arm(
        f'{UNION},teacher.scales=(1.0,),masks.w_ratio=0.3,masks.w_photometric=False', 'union', SHORT),
    'union, without masksup': Arm(f'{UNION},similarity=0,masks.x_kind=grid,masks.x_ratio=0.3', 'union', SHORT),
    'union, without s4mim': Arm(f'{UNION},class_wise_mim=0,feature_aggregation=0,semantic_mim=0,'
                                f'{",".join(f"{term}={1 / 6}" for term in THREE)}', 'union', SHORT),
}
