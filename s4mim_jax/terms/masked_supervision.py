"""L_context: the labelled image with holes must still be segmented whole (MaskSup, arXiv 2210.00923).

All labelled pixels count, hidden ones too, as in the released code; also where `method.supervised_loss` is
ohem, whose hard pixels would be those that cannot be known (ours).
"""

from s4mim_jax.terms.masked_pixels import label_of
from s4mim_jax.terms.ratio import Ratio
from s4mim_jax.terms.supervised import labeled_cross_entropy


def needs(method) -> tuple[str, ...]:
    """The masked copy of the labelled view."""
    del method
    return ('x_masked',)


def loss(forward) -> list[Ratio]:
    """Cross-entropy of the masked copy against the ground truth: a Ratio of scalars."""
    return [labeled_cross_entropy(forward.logits['x_masked'], label_of(forward, 'x_masked'), forward.method)]
