"""Labelled images only: L = L_x."""


def apply(config):
    config.method.update(supervised=1.0, consistency=0.0, feature_perturbation=0.0)
