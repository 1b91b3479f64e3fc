"""L_fp: the weak view with channel dropout on its encoder features (UniMatch, section 3.2)."""

from s4mim_jax.config.key import Key
from s4mim_jax.terms.cross_entropy import pseudo_label_loss
from s4mim_jax.terms.ratio import Ratio


def needs(method) -> tuple[str, ...]:
    """The weak view, decoded once more with channels dropped."""
    del method
    return ('w_dropped',)


def defaults() -> dict[str, Key]:
    """Its keys in config.method."""
    return {
        'feature_dropout': Key(0.5, 'rate of the channels that are dropped', least=0.0, below=1.0),
    }


def loss(forward) -> list[Ratio]:
    """Confidence-filtered cross-entropy of the perturbed features' output against the weak view: a Ratio of scalars."""
    return [pseudo_label_loss(forward, forward.logits['w_dropped'], forward.targets['w'])]
