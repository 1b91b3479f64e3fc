"""Loss terms: one file each, and one line in this table; or a module that `method.modules` names.

A term's module has

    needs(method) -> names      the outputs that it compares, rows of `views/table.py`
    loss(forward) -> [Ratio]    whose values are averaged

and where it wants more

    defaults() -> {key: Key}    keys of its own in config.method ('similarity_loss', 'mim.tau')
    init(config, key)           parameters of a head of its own: optimised like other heads, in no export; found in
                                forward.heads[HEAD], HEAD = the term's name unless the module says another
    state(config)               arrays that training carries, in forward.states[NAME] before the step
    update(forward, state)      them after the step; sums over the batch go through forward.collectives.sum
    pictures(forward)           {masked copy: f32 [B, H, W, C]}, what is shown in its hidden pixels
    BY_CLASS = True             its Ratios are vectors over classes, logged by class

`init` and `state` may take `num_classes` as well. The weight is the config key `method.NAME`, a number that
`method.NAME_ramp` or `method.NAME_schedule` changes over training; at weight 0 nothing of the term is built.
"""

from s4mim_jax.config.extensions import extensions
from s4mim_jax.config.key import Key, share
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
from s4mim_jax.terms.cross_entropy import IGNORE, filtered_cross_entropy, pixel_cross_entropy
from s4mim_jax.terms.ratio import Ratio

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


def terms_of(method) -> dict[str, object]:
    """The package's terms and those of `method.modules`, name -> module."""
    return TERMS | {name: module for name, module in extensions(method).items() if hasattr(module, 'loss')}


def active(method) -> dict[str, object]:
    """The terms of a `config.method` with a weight other than 0, in the table's order."""
    return {name: term for name, term in terms_of(method).items() if method[name]}


def keys(name: str, term) -> dict[str, Key]:
    """Keys of config.method that come with a term: its weight, how that changes, and the term's own."""
    return {
        name: Key(1.0 if name == 'supervised' else 0.0, f'weight of {name}, 0 = off', least=0.0),
        f'{name}_ramp': share(0.0, f'share of the steps over which the weight of {name} grows from 0'),
        f'{name}_schedule': Key((), f'points (share of the steps, factor of the weight of {name}), straight between'),
    } | (term.defaults() if hasattr(term, 'defaults') else {})


__all__ = ['IGNORE', 'Ratio', 'TERMS', 'active', 'filtered_cross_entropy', 'keys', 'pixel_cross_entropy', 'terms_of']
