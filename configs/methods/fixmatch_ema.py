"""FixMatch with an EMA teacher: L = 1/2 (L_x + L_s), pseudo-labels from the average's weak view."""


def apply(config):
    config.method.update(supervised=0.5, consistency=0.5, strong_views=1, tau=0.9)
    config.method.teacher.update(kind='ema', decay=0.99)
