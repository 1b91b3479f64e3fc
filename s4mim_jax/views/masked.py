"""Masked copies of views: what is hidden, and who takes part in reconstructing it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from s4mim_jax.config.labels import IGNORE
from s4mim_jax.models.positions import encoder_positions
from s4mim_jax.views.freeform import freeform_mask
from s4mim_jax.views.grid import grid_mask
from s4mim_jax.views.keys import Draws


class Masked(NamedTuple):
    """A masked copy of a view.

    image: f32 [B, H, W, 3] normalised, 0 (the channel mean) where hidden. visible: bool [B, H, W].
    part: i32 [B, H, W], the class that a pixel is reconstructed with, 255 = takes no part.
    """

    image: jax.Array
    visible: jax.Array
    part: jax.Array


def mask_view(name: str, image: jax.Array, part: jax.Array, index: jax.Array, config, draws: Draws) -> Masked:
    """Hides a part of each image. The mask is applied last, after every other change of the view.

    That inputs are masked is MaskMatch's, MaskSup's and S4MIM's; which mask a view gets, and that hidden
    pixels are the channel mean, is our reading of them.

    Args:
      name: of the mask, see `views/table.py`: which keys of config.method.masks hold, and the stream of random numbers.
      image: f32 [B, H, W, 3], the normalised view. part: i32 [B, H, W], labels with 255.
      index: i32 [B], global example indices. config: reads method and model. draws: randomness of the step.

    Returns:
      Masked, of the shapes and dtypes of `image` and `part`.
    """
    masks, size = config.method.masks, image.shape[1:3]
    keys = draws.keys(f'mask/{name}', index)
    if masks[f'{name}_kind'] == 'freeform':
        visible = freeform_mask(keys, size, *masks.freeform)
    else:
        patch, positions = _cells(size, config)
        visible = grid_mask(keys, size, patch, masks[f'{name}_ratio'], positions)
    if masks.input_scope == 'class_sampled':
        chosen = sample_class(draws.keys(f'mask_class/{name}', index), part)
        own = part == chosen[:, None, None]
        # The literal reading of class-wise MIM: everything but one class is absent from the input.
        visible, part = visible & own, jnp.where(own, part, IGNORE)
    return Masked(jnp.where(visible[..., None], image, 0.0), visible, part)


def _cells(size, config):
    """(patch, positions) as `grid_mask` takes them, for images of `size` (H, W) (ours).

    patch: a number of pixels, and positions None; or a number of positions, and int [H] and [W].
    """
    method, positions = config.method, encoder_positions(config.model)
    whole = bool(method.class_wise_mim or method.feature_aggregation)
    patch = method.masks.patch or default_patch(size, positions.stride, whole)
    if not whole:
        return patch, None
    # Features of a position that is half hidden belong to neither side of class-wise MIM and aggregation.
    return patch / positions.stride, tuple(map(positions.of_pixels, size))


def default_patch(size: tuple[int, int], stride: int, whole: bool) -> int:
    """About a tenth of the shorter side: 32 at crops 321 and 513, 64 at 801 where the stride is 16 (ours).

    Multiples of two positions. Where a tenth is less than two: the tenth; but if cells consist of `whole` positions
    of the encoder's map, as many positions as fit into a tenth, at least one.
    """
    tenth = min(size) / 10
    if tenth >= 2 * stride:
        return int(tenth // (2 * stride)) * 2 * stride
    return stride if whole else max(1, round(tenth))


def sample_class(keys: jax.Array, part: jax.Array) -> jax.Array:
    """One of the classes present in each image, each equally likely, whatever its area (ours).

    Args:
      keys: typed keys [B]. part: i32 [B, H, W], class ids below 255, or 255.

    Returns:
      i32 [B]; 255 where no class is present.
    """
    present = jax.vmap(lambda p: jnp.zeros(256, bool).at[p.reshape(-1)].set(True))(part)[:, :IGNORE]
    noise = jax.vmap(lambda key: jax.random.uniform(key, (IGNORE,)))(keys)
    chosen = jnp.argmax(jnp.where(present, noise, -1.0), axis=-1).astype(jnp.int32)
    return jnp.where(jnp.any(present, axis=-1), chosen, IGNORE)
