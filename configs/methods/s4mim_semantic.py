"""Ablation of S4MIM: its base and masked modelling in semantic space alone."""


def apply(config):
    method = config.method
    method.update(supervised=0.5, consistency=0.25, feature_perturbation=0.25, feature_dropout=0.5, tau=0.95,
                  semantic_mim=0.5)
    if method.weighting == 'equal':
        method.update(supervised=0.25, consistency=0.125, feature_perturbation=0.125)
