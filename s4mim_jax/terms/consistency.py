"""L_s: strong views must agree with the pseudo-labels of the weak view (FixMatch, UniMatch)."""

from s4mim_jax.terms.cross_entropy import Ratio, filtered_cross_entropy


def needs(method) -> tuple[str, ...]:
    return ('s1', 's2')[:method.strong_views]


def loss(scene) -> list[Ratio]:
    """Confidence-filtered cross-entropy, averaged over the strong views."""
    return [filtered_cross_entropy(scene.logits[view], scene.targets[view])
            for view in needs(scene.method)]
