"""Class weights of the supervised cross-entropies, from the labelled masks of a run before it is compiled."""

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import Source
from s4mim_jax.data.samples import read_label


def with_class_weights(config, source: Source, samples) -> object:
    """`config` with `method.class_weights` filled in, where `method.class_balance` asks for it and it is ().

    Deterministic, so a resumed run finds the weights that its folder holds.

    Raises:
      InputError: given weights whose number is not that of the classes, or all 0.
    """
    method = config.method
    if method.class_weights:
        if len(method.class_weights) != source.num_classes or not any(method.class_weights):
            given = tuple(method.class_weights)
            raise InputError(f'--config.method.class_weights={given}: {len(given)} numbers for {source.num_classes} '
                             'classes\nvalid: one a class, not all 0, in this order: '
                             f'{", ".join(source.classes[:8])}{", ..." if source.num_classes > 8 else ""}')
        return config
    if method.class_balance == 'none':
        return config
    counts = sum(np.bincount(read_label(source, s).ravel(), minlength=256)[:source.num_classes] for s in samples)
    config = config.copy_and_resolve_references()
    config.method.class_weights = tuple(round(float(w), 6) for w in balanced(counts, method.class_balance))
    return config


def balanced(counts: np.ndarray, kind: str) -> np.ndarray:
    """Weights whose mean over all labelled pixels is 1, so that the loss keeps its size.

    inverse: w_c ~ 1 / n_c. effective: w_c ~ (1 - b) / (1 - b^n_c), Cui et al. 2019 (arXiv 1901.05555, eq. 2)
    with b = 1 - K / N (ours: the volume of a class is that of the average one, and a class beyond it gains
    little): a rare class weighs as under `inverse`, frequent ones nearly the same.

    Args:
      counts: [C] pixels n_c of each class; N their sum, K the number of classes that occur.
      kind: 'inverse' or 'effective'.

    Returns:
      float64 [C]; 1 for a class that no mask shows.
    """
    counts = np.asarray(counts, np.float64)
    seen = counts > 0
    if not seen.any():
        return np.ones_like(counts)
    volume = counts.sum() / seen.sum()
    if kind == 'inverse' or volume <= 1:
        effective = counts[seen]
    else:  # 1 - b^n without cancellation
        effective = -np.expm1(counts[seen] * np.log1p(-1.0 / volume))
    weights = np.ones_like(counts)
    weights[seen] = counts.sum() / (counts[seen] / effective).sum() / effective
    return weights
