"""S4MIM (arXiv 2411.08756, our reading): the base with masked modelling in three spaces.

L = L_base + 1/2 L_sem + 0.1 L_pix + 0.1 L_agg, with L_base = 1/2 [L_x + 1/2 L_s + 1/2 L_fp]

`weighting=equal` is the control in which labelled and unlabelled cross-entropies weigh 1/2 each as in the base,
1/2 mean(L_x, L_sem,x) + 1/2 mean(L_s, L_fp, L_sem,s, L_sem,w) + 0.1 L_pix + 0.1 L_agg: no gain by weight.
"""

UNLABELED = ('consistency', 'feature_perturbation')


def apply(config):
    config.method.update(supervised=0.5, consistency=0.25, feature_perturbation=0.25, feature_dropout=0.5, tau=0.95)
    extend(config)


def extend(config):
    """L_sem has half of the weight that the host gives to each side; masked copies that it segments count once.

    With `weighting=equal` the host gives that half away, and its masked copies count among its terms.
    """
    method = config.method
    equal = method.weighting == 'equal'
    learns = any(method[term] for term in (*UNLABELED, 'masked_consistency'))
    sides = ((('supervised',), ('masked_supervision',), ('x',)),
             (UNLABELED, ('masked_consistency',), ('w', 's') if learns else ()))
    own = {'x': 'masked_supervision', 'w': 'masked_consistency', 's': None}
    semantic, given = [], 0.0
    for host, copies, views in sides:
        left = [view for view in views if not (own[view] and method[own[view]])]
        for term in (host + copies if equal else host) if left else ():
            given += method[term] / 2
            if equal:
                method[term] /= 2
        semantic += left
    method.update(semantic_mim=given, class_wise_mim=0.1, feature_aggregation=0.1)
    if semantic:
        method.mim.semantic_views = tuple(semantic)
    if not learns:  # a host of labelled images stays one
        method.mim.views = ('x',)
