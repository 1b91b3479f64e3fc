"""The union of S4MC, MaskMatch, MaskSup and S4MIM (ours), on S4MIM's base L_base = 1/2 [L_x + 1/2 L_s + 1/2 L_fp].

L = L_base + 1/2 L_context + 1/2 L_sim + 1/2 L_m + 1/4 L_sem,s + 0.1 L_pix + 0.1 L_agg

`weighting=equal`, the control: 1/2 mean(L_x, L_context) + 1/2 mean(L_s, L_fp, L_m, L_sem,s) + the last three alike.
Each cross-entropy counts once: L_context is the labelled part of L_sem, L_m its weak part. Every
view has one masked copy for all terms.
"""


def apply(config):
    method = config.method
    method.update(supervised=0.5, masked_supervision=0.5, similarity=0.5,
                  consistency=0.25, feature_perturbation=0.25, masked_consistency=0.5, semantic_mim=0.25,
                  class_wise_mim=0.1, feature_aggregation=0.1, feature_dropout=0.5, tau=0.95)
    if method.weighting == 'equal':
        method.update(supervised=0.25, masked_supervision=0.25, consistency=0.125, feature_perturbation=0.125,
                      masked_consistency=0.125, semantic_mim=0.125)
    method.mim.semantic_views = ('s',)
    # Holes as where MaskSup is added to a host.
    method.masks.update(x_kind='freeform', freeform=(0.2, 0.3), w_ratio=0.7, s_ratio=0.5, w_photometric=True)
    method.teacher.update(kind='ema', decay=0.999, scales=(0.75, 1.0, 1.25))
    # Divided by the valid pixels: what S4MC divides by has not been tried where five terms share a filter.
    method.selection.update(refinement='union', threshold='partition', alpha=0.4)
