"""S4MC's class table, estimated from the labelled masks of a run before it is compiled."""

import jax
import numpy as np

from s4mim_jax.data import Source
from s4mim_jax.data.samples import read_label
from s4mim_jax.models import build_model
from s4mim_jax.pseudo_labels import coherence_table


def with_coherence_table(config, source: Source, samples) -> object:
    """`config` with `method.selection.coherence` filled in, where the refinement needs it and it is ().

    The masks are read at the spacing of the map that is refined: every n-th pixel of the decoder's
    output grid, or every pixel with resolution=full. (The random scale of training crops is left
    out.) Deterministic, so a resumed run finds the table that its folder holds.
    """
    rule = config.method.selection
    if rule.refinement != 'coherence' or rule.coherence:
        return config
    spacing = (1, 1)
    if rule.resolution == 'logits':
        spacing = _logit_spacing(config, source.num_classes)
    masks = (read_label(source, s)[::spacing[0], ::spacing[1]] for s in samples)
    table = coherence_table(masks, source.num_classes, window=rule.window, connectivity=rule.connectivity)
    config = config.copy_and_resolve_references()
    config.method.selection.coherence = tuple(round(float(np.float32(v)), 6) for v in table)
    return config


def with_some_table(config, num_classes: int) -> object:
    """The same without the data: a table of the right size, whose values change nothing that is planned."""
    rule = config.method.selection
    if rule.refinement != 'coherence' or rule.coherence:
        return config
    config = config.copy_and_resolve_references()
    config.method.selection.coherence = (0.5,) * num_classes
    return config


def _logit_spacing(config, num_classes):
    model = build_model(config, num_classes)
    image = jax.ShapeDtypeStruct((1, *config.data.crop, config.data.channels), np.float32)
    outputs = jax.eval_shape(lambda x: model.apply(model.init(jax.random.key(0), x), x), image)
    return tuple(max(1, round(n / m)) for n, m in zip(config.data.crop, outputs.coarse.shape[1:3]))
