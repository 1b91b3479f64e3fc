"""L_fp: the weak view with channel dropout on its encoder features (UniMatch, section 3.2)."""

from s4mim_jax.terms.cross_entropy import Ratio, filtered_cross_entropy


def needs(method) -> tuple[str, ...]:
    """The weak view, decoded once more with channels dropped."""
    del method
    return ('w_dropped',)


def loss(scene) -> list[Ratio]:
    """Confidence-filtered cross-entropy of the perturbed features' output against the weak view: a Ratio of scalars."""
    return [filtered_cross_entropy(scene.logits['w_dropped'], scene.targets['w'])]
