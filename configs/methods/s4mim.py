"""S4MIM (arXiv 2411.08756, our reading): the base with masked modelling in three spaces.

L = 1/2 mean(L_x, L_sem,x) + 1/2 mean(L_s, L_fp, L_sem,s, L_sem,w) + 0.1 L_pix + 0.1 L_agg

Labelled and unlabelled cross-entropies weigh 1/2 each as in the base: no gain by weight. The uneven
form adds 0.5 L_sem to the whole base: `s4mim,supervised=0.5,consistency=0.25,feature_perturbation=0.25`.
"""


def apply(config):
    config.method.update(supervised=0.5, consistency=0.25, feature_perturbation=0.25, feature_dropout=0.5, tau=0.95)
    extend(config)


def extend(config):
    method = config.method
    total = method.supervised + method.consistency + method.feature_perturbation
    for term in ('supervised', 'consistency', 'feature_perturbation'):
        method[term] /= 2
    method.update(semantic_mim=total / 2, class_wise_mim=0.1, feature_aggregation=0.1)
