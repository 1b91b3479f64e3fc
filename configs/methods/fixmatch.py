"""FixMatch: L = 1/2 (L_x + L_s), pseudo-labels from the student's own weak view."""


def apply(config):
    config.method.update(supervised=0.5, consistency=0.5, strong_views=1, tau=0.95)
    config.method.teacher.kind = 'self'
