"""UniMatch (V1): L = 1/2 (L_x + 1/4 L_s1 + 1/4 L_s2 + 1/2 L_fp).

`consistency` is the mean over the strong views, so 1/2 (1/4 + 1/4) is a weight of 0.25.
"""


def apply(config):
    config.method.update(supervised=0.5, consistency=0.25, strong_views=2,
                         feature_perturbation=0.25, feature_dropout=0.5, tau=0.95)
    config.method.teacher.kind = 'self'
    config.method.cutmix.partner = 'self_view'  # as released: another crop of the same image
