"""On which pixels of a masked copy the segmentation loss is computed: `method.masks.loss_on` (ours).

all: every pixel, our reading of the papers. visible: only the pixels that are shown; the mask is then an augmentation
like any other occlusion. hidden: only the pixels that are not shown and must be inferred from the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp

from s4mim_jax.config.labels import IGNORE

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Int32

    from s4mim_jax.pseudo_labels import Target


def label_of(forward, copy: str) -> Int32[Array, 'B H W']:
    """The labels of the labelled view, 255 where the masked copy has no loss."""
    counted = _counted(forward, copy)
    return forward.label if counted is None else jnp.where(counted, forward.label, IGNORE)


def target_of(forward, copy: str, view: str) -> Target:
    """The target of a view, not valid where its masked copy has no loss."""
    target, counted = forward.targets[view], _counted(forward, copy)
    return target if counted is None else target._replace(kept=target.kept & counted, valid=target.valid & counted)


def _counted(forward, copy: str) -> Bool[Array, 'B H W'] | None:
    """The pixels of a masked copy that have a loss; None = all of them."""
    kind = forward.method.masks.loss_on
    if kind == 'all':
        return None
    return forward.masked[copy].visible if kind == 'visible' else ~forward.masked[copy].visible
