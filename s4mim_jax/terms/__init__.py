"""Loss terms: one file each, and one line in this table.

A term's module has `needs(method)`, the outputs that it compares (names of `training/passes.py`),
and `loss(scene)`, a list of Ratios whose values are averaged. Its weight is the config key
`method.<name>`; at weight 0 nothing of it is built.
"""

from s4mim_jax.terms import (
    class_wise_mim,
    consistency,
    feature_aggregation,
    feature_perturbation,
    masked_consistency,
    masked_supervision,
    semantic_mim,
    similarity,
    supervised,
)
from s4mim_jax.terms.cross_entropy import IGNORE, Ratio, filtered_cross_entropy, pixel_cross_entropy

TERMS = {
    'supervised': supervised,
    'consistency': consistency,
    'feature_perturbation': feature_perturbation,
    'masked_consistency': masked_consistency,
    'masked_supervision': masked_supervision,
    'similarity': similarity,
    'semantic_mim': semantic_mim,
    'class_wise_mim': class_wise_mim,
    'feature_aggregation': feature_aggregation,
}


def active(method) -> dict[str, object]:
    """The terms of a `config.method` with a weight other than 0, in the table's order."""
    return {name: term for name, term in TERMS.items() if method[name]}


__all__ = ['IGNORE', 'Ratio', 'TERMS', 'active', 'filtered_cross_entropy', 'pixel_cross_entropy']
