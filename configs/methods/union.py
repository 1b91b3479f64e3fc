"""The union of S4MC, MaskMatch, MaskSup and S4MIM (ours).

L = 1/2 mean(L_x, L_context) + 1/2 mean(L_s, L_fp, L_m, L_sem,s) + l_sim L_sim + l_pix L_pix + l_agg L_agg

Each cross-entropy counts once: L_context is the labelled part of L_sem, L_m its weak part. Every
view has one masked copy for all terms.
"""


def apply(config):
    method = config.method
    method.update(supervised=0.25, masked_supervision=0.25, similarity=0.5,
                  consistency=0.125, feature_perturbation=0.125, masked_consistency=0.125, semantic_mim=0.125,
                  class_wise_mim=0.1, feature_aggregation=0.1, feature_dropout=0.5, tau=0.95)
    method.mim.semantic_views = ('s',)
    method.masks.update(x_kind='freeform', w_ratio=0.7, s_ratio=0.5, w_photometric=True)
    method.teacher.update(kind='ema', decay=0.999, scales=(0.75, 1.0, 1.25))
    method.selection.update(refinement='union', threshold='partition', alpha=0.4)
