"""L_s: strong views must agree with the pseudo-labels of the weak view (FixMatch, UniMatch)."""

from s4mim_jax.config.key import Key
from s4mim_jax.terms.cross_entropy import pseudo_label_loss
from s4mim_jax.terms.ratio import Ratio
from s4mim_jax.views.table import views_of


def needs(method) -> tuple[str, ...]:
    """The first `method.strong_views` of the two strong views (FixMatch has one, UniMatch two)."""
    return views_of(method).strong[:method.strong_views]


def defaults() -> dict[str, Key]:
    """Its keys in config.method."""
    return {
        'strong_views': Key(1, 'strong views that it averages over: FixMatch has 1, UniMatch 2', least=1),
        'complementary_dropout': Key(False, 'UniMatch V2: paired channel masks on the two strong views'),
    }


def loss(forward) -> list[Ratio]:
    """Confidence-filtered cross-entropy: one Ratio of scalars a strong view; the loss is their mean."""
    return [pseudo_label_loss(forward, forward.logits[view], forward.targets[view])
            for view in needs(forward.method)]
