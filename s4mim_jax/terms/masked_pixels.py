"""Which pixels of a masked copy its segmentation loss counts: `method.masks.loss_on` (ours).

`all` is our reading of the papers. `visible` leaves out what nothing in the image may tell, and makes of the mask a
mere occlusion; `hidden` counts nothing but the proxy task.
"""

import jax
import jax.numpy as jnp

from s4mim_jax.config.labels import IGNORE


def label_of(scene, copy: str) -> jax.Array:
    """i32 [B, H, W]: the labels that the masked copy of the labelled view is compared with, 255 = not counted."""
    counted = _counted(scene, copy)
    return scene.label if counted is None else jnp.where(counted, scene.label, IGNORE)


def target_of(scene, copy: str, view: str):
    """The pseudo_labels.Target of a view, [B, H, W]: pixels that do not count in its masked copy are not valid."""
    target, counted = scene.targets[view], _counted(scene, copy)
    return target if counted is None else target._replace(kept=target.kept & counted, valid=target.valid & counted)


def _counted(scene, copy: str) -> jax.Array | None:
    """bool [B, H, W]: the pixels of a masked copy that count; None = all of them."""
    kind = scene.method.masks.loss_on
    if kind == 'all':
        return None
    return scene.masked[copy].visible if kind == 'visible' else ~scene.masked[copy].visible
