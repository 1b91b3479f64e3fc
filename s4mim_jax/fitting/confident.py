"""tau is chosen on the unlabelled images, by what the labelled-only network is sure of."""

from pathlib import Path

import numpy as np

from s4mim_jax.fitting import rules

LOOKED_AT = 24  # unlabelled images
SEEN = 0.001  # share of the pixels from which on a predicted class counts


def unlabelled(config) -> tuple:
    """(source, unlabelled training samples without those that are labelled too)."""
    from s4mim_jax import data
    source = data.open_source(config.data)
    split = data.training_split(source, config.data.split, config.seed)
    labelled = {sample.image for sample in split.labeled}
    return source, [sample for sample in split.unlabeled if sample.image not in labelled]


def confident(run: Path) -> dict[float, float]:
    """tau -> share of the pixels of a class whose confidence reaches it under the network of a run folder."""
    from s4mim_jax.data.samples import read_image
    from s4mim_jax.prediction.loading import load
    predictor = load(run, weights='better')
    source, samples = unlabelled(predictor.config)
    chosen = dict.fromkeys(samples[i * len(samples) // LOOKED_AT] for i in range(LOOKED_AT))
    images = [read_image(source, sample) for sample in chosen]
    pairs = [(ids[::2, ::2].ravel(), top[::2, ::2].ravel()) for ids, top in predictor.predict(images, confidence=True)]
    return kept_of_a_class(*map(np.concatenate, zip(*pairs)))


def kept_of_a_class(ids: np.ndarray, confidence: np.ndarray) -> dict[float, float]:
    """Of each predicted class the share of its pixels that reach a threshold; the mean over the classes.

    A share of all pixels is that of the largest class: a network that knows little but background reaches any threshold
    there, and then nothing else is learned (docs/evidence.md).

    Args:
      ids: predicted classes, ints [N]. confidence: floats [N]. Classes of less than SEEN of the pixels are left out.
    """
    values, counts = np.unique(ids, return_counts=True)
    tops = [confidence[ids == value] for value, count in zip(values, counts) if count >= SEEN * ids.size]
    return {tau: float(np.mean([(top >= tau).mean() for top in tops])) for tau in rules.SMALL_TAU}
