"""L_sem: masked modelling in semantic space (S4MIM, arXiv 2411.08756).

The masked copies of the labelled, the strong and the weak view must be segmented whole:
1/2 [CE(~x, y) + 1/2 CE(~s, mixed pseudo-label) + 1/2 CE(~w, pseudo-label)], over all valid pixels.
The weights are our reading. With fewer views (`method.mim.semantic_views`) labelled and unlabelled
views still share equally; one side alone has the whole weight.
"""

from s4mim_jax.config.key import Key
from s4mim_jax.terms.cross_entropy import pseudo_label_loss
from s4mim_jax.terms.masked_pixels import label_of, target_of
from s4mim_jax.terms.ratio import Ratio
from s4mim_jax.terms.supervised import labeled_cross_entropy
from s4mim_jax.views.table import views_of


def needs(method) -> tuple[str, ...]:
    """The masked copies of `method.mim.semantic_views`."""
    copies = views_of(method).copies
    return tuple(copies[mask].name for mask in method.mim.semantic_views)


def defaults() -> dict[str, Key]:
    """Its keys in config.method."""
    return {
        'mim.semantic_views': Key(('x', 'w', 's'), 'masks of the views whose copies must be segmented'),
    }


def loss(forward) -> list[Ratio]:
    """One Ratio of scalars a view, scaled so that their mean is the weighted sum."""
    views = views_of(forward.method)
    rows = [views.copies[mask] for mask in forward.method.mim.semantic_views]
    sides, ratios = [row.side for row in rows], []
    for row in rows:
        logits = forward.logits[row.name]
        if row.side == 'labeled':
            ratio = labeled_cross_entropy(logits, label_of(forward, row.name), forward.method)
        else:
            ratio = pseudo_label_loss(forward, logits, target_of(forward, row.name, views.target(row.name)))
        share = 1 / len(set(sides)) / sides.count(row.side)
        ratios.append(Ratio(ratio.total * (share * len(rows)), ratio.count))
    return ratios
