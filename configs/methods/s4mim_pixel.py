"""Ablation of S4MIM: its base and class-wise MIM in pixel space alone."""


def apply(config):
    config.method.update(supervised=0.5, consistency=0.25, feature_perturbation=0.25, feature_dropout=0.5, tau=0.95,
                         class_wise_mim=0.1)
