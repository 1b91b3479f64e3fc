"""L_sem: masked modelling in semantic space (S4MIM, arXiv 2411.08756).

The masked copies of the labelled, the strong and the weak view must be segmented whole:
1/2 [CE(~x, y) + 1/2 CE(~s, mixed pseudo-label) + 1/2 CE(~w, pseudo-label)], over all valid pixels.
The weights are our reading. With fewer views (`method.mim.semantic_views`) labelled and unlabelled
views still share equally; one side alone has the whole weight.
"""

from s4mim_jax.terms.cross_entropy import Ratio, filtered_cross_entropy
from s4mim_jax.terms.masked_pixels import label_of, target_of
from s4mim_jax.terms.supervised import labeled_cross_entropy

COPIES = {'x': 'x_masked', 'w': 'w_masked', 's': 's1_masked'}  # letter in config.method.mim -> masked copy


def needs(method) -> tuple[str, ...]:
    """The masked copies of `method.mim.semantic_views`."""
    return tuple(COPIES[view] for view in method.mim.semantic_views)


def loss(scene) -> list[Ratio]:
    """One Ratio of scalars a view, scaled so that their mean is the weighted sum."""
    views = tuple(scene.method.mim.semantic_views)
    unlabeled = [view for view in views if view != 'x']
    sides = ('x' in views) + bool(unlabeled)
    ratios = []
    for view in views:
        logits = scene.logits[COPIES[view]]
        if view == 'x':
            ratio, share = labeled_cross_entropy(logits, label_of(scene, COPIES[view]), scene.method), 1 / sides
        else:
            target = target_of(scene, COPIES[view], 'w' if view == 'w' else 's1')
            ratio, share = filtered_cross_entropy(logits, target), 1 / sides / len(unlabeled)
        ratios.append(Ratio(ratio.total * (share * len(views)), ratio.count))
    return ratios
