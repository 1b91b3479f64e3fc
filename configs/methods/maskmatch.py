"""MaskMatch on FixMatch (arXiv 2312.08631, our reading): 1/2 [L_x + L_s + L_m].

Added to a host: `unimatch+maskmatch`; L_m has the weight of the host's unlabelled terms together.
`weighting=equal` is the control 1/2 [L_x + 1/2 L_s + 1/2 L_m]: the host's unlabelled terms give half of
their weight to it. More controls: `masks.w_ratio=0` is a second unmasked view at equal
compute, `teacher.scales=(1.0,)` has no ensemble, `selection.matched=single_scale` keeps as many
pixels as one scale would. These are the published settings; docs/evidence.md measures
`teacher.scales=(1.0,),masks.w_ratio=0.5`, for the ensemble gives the small networks there .4 points of
mIoU at most and costs one or two on CamVid.
"""


def apply(config):
    config.method.update(supervised=0.5, consistency=0.5, tau=0.95)
    extend(config)


def extend(config):
    method = config.method
    if method.weighting == 'equal':
        method.consistency /= 2
        method.feature_perturbation /= 2
    method.masked_consistency = method.consistency + method.feature_perturbation
    method.teacher.update(kind='ema', decay=0.999, scales=(0.75, 1.0, 1.25))
    method.masks.update(w_ratio=0.7, w_photometric=True)
