"""S4MIM (arXiv 2411.08756, our reading): the base with masked modelling in three spaces.

L = 1/2 mean(L_x, L_sem,x) + 1/2 mean(L_s, L_fp, L_sem,s, L_sem,w) + 0.1 L_pix + 0.1 L_agg

Labelled and unlabelled cross-entropies weigh 1/2 each as in the base: no gain by weight. The uneven
form adds 0.5 L_sem to the whole base: `s4mim,supervised=0.5,consistency=0.25,feature_perturbation=0.25`.
"""


def apply(config):
    config.method.update(supervised=0.5, consistency=0.25, feature_perturbation=0.25, feature_dropout=0.5, tau=0.95)
    extend(config)


def extend(config):
    """Half of the weight of each side goes to L_sem; a masked copy that the host segments already counts once."""
    method = config.method
    unlabeled = ('consistency', 'feature_perturbation', 'masked_consistency')
    learns = any(method[term] for term in unlabeled)
    semantic, given = [], 0.0
    for terms, views in ((('supervised', 'masked_supervision'), ('x',)), (unlabeled, ('w', 's') if learns else ())):
        own = {'x': 'masked_supervision', 'w': 'masked_consistency', 's': None}
        left = [view for view in views if not (own[view] and method[own[view]])]
        for term in terms if left else ():
            method[term] /= 2
            given += method[term]
        semantic += left
    method.update(semantic_mim=given, class_wise_mim=0.1, feature_aggregation=0.1)
    if semantic:
        method.mim.semantic_views = tuple(semantic)
    if not learns:  # a host of labelled images stays one
        method.mim.views = ('x',)
