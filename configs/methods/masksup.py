"""MaskSup (arXiv 2210.00923): L_seg + L_context + L_sim on labelled images, all weights 1.

With more than two classes L_sim is our reading, the mean over C classes of squared differences; `similarity=C`, the
number itself, makes it their sum.

Added to a host it is the host's labelled branch, `fixmatch+masksup`: L_context and L_sim have the weight of
the host's L_x. With `weighting=equal` the two cross-entropies share the weight that the host gives to its one.
There the holes are 20 to 30 % (ours): with 50 to 60 % as published it began 12 points of val behind FixMatch on CamVid,
with these 3 (docs/history.md).
"""


def apply(config):
    config.method.update(supervised=1.0, masked_supervision=1.0, similarity=1.0)
    config.method.masks.x_kind = 'freeform'


def extend(config):
    method = config.method
    method.similarity = method.supervised
    if method.weighting == 'equal':
        method.supervised /= 2
    method.masked_supervision = method.supervised
    method.masks.update(x_kind='freeform', freeform=(0.2, 0.3))
