"""L_s: strong views must agree with the pseudo-labels of the weak view (FixMatch, UniMatch)."""

from s4mim_jax.terms.cross_entropy import Ratio, filtered_cross_entropy


def needs(method) -> tuple[str, ...]:
    """The first `method.strong_views` of the two strong views (FixMatch has one, UniMatch two)."""
    return ('s1', 's2')[:method.strong_views]


def loss(scene) -> list[Ratio]:
    """Confidence-filtered cross-entropy: one Ratio of scalars a strong view; the loss is their mean."""
    return [filtered_cross_entropy(scene.logits[view], scene.targets[view])
            for view in needs(scene.method)]
