"""Ablation of S4MIM: its base and masked modelling in semantic space alone."""


def apply(config):
    config.method.update(supervised=0.25, consistency=0.125, feature_perturbation=0.125, feature_dropout=0.5,
                         tau=0.95, semantic_mim=0.5)
