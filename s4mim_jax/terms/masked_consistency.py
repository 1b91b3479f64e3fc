"""L_m: the masked proxy task of MaskMatch (arXiv 2312.08631).

The student sees the visible patches of the weak crop only and must say about the whole of it what
the teacher says who sees everything. Our reading: all pixels count, hidden and visible, with the
filter and the normaliser of the host's own consistency.
"""

from s4mim_jax.terms.cross_entropy import pseudo_label_loss
from s4mim_jax.terms.masked_pixels import target_of
from s4mim_jax.terms.ratio import Ratio


def needs(method) -> tuple[str, ...]:
    """The masked copy of the weak view."""
    del method
    return ('w_masked',)


def loss(forward) -> list[Ratio]:
    """Confidence-filtered cross-entropy of the masked copy against the weak view's pseudo-label: a Ratio of scalars."""
    return [pseudo_label_loss(forward, forward.logits['w_masked'], target_of(forward, 'w_masked', 'w'))]
