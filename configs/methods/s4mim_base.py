"""What S4MIM stands on (arXiv 2411.08756): FixMatch with feature perturbation, no second strong view.

L = 1/2 [L_x + 1/2 L_s + 1/2 L_fp].
"""


def apply(config):
    config.method.update(supervised=0.5, consistency=0.25, feature_perturbation=0.25, feature_dropout=0.5, tau=0.95)
