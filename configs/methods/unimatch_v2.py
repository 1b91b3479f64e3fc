"""UniMatch V2: L = 1/2 (L_x + 1/2 (L_s1 + L_s2)), EMA teacher, complementary channel dropout."""


def apply(config):
    config.method.update(supervised=0.5, consistency=0.5, strong_views=2, tau=0.95,
                         complementary_dropout=True)
    # As released: the teacher's BatchNorm statistics are averaged like its weights.
    config.method.teacher.update(kind='ema', decay=0.996, batch_stats='ema')
    config.method.cutmix.partner = 'batch'
