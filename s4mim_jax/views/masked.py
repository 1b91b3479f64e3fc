"""Masked copies of views: what is hidden, and which pixels are reconstructed with which class."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp

from s4mim_jax.config.labels import IGNORE
from s4mim_jax.models.feature_grid import feature_grid
from s4mim_jax.views.freeform import freeform_mask
from s4mim_jax.views.grid import grid_mask
from s4mim_jax.views.randomness import StepRandomness

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int32, Key


class Masked(NamedTuple):
    """A masked copy of a view.

    image: f32 [B, H, W, 3] normalised, 0 (the channel mean) where hidden. visible: bool [B, H, W].
    class_region: i32 [B, H, W], the class whose region a pixel belongs to and is reconstructed with; 255 = none.
    """

    image: jax.Array
    visible: jax.Array
    class_region: jax.Array


def mask_view(name: str, image: Float[Array, 'B H W C'], class_region: Int32[Array, 'B H W'], index: Int32[Array, ' B'],
              config, randomness: StepRandomness) -> Masked:
    """Hides a part of each image. The mask is applied last, after every other change of the view.

    That inputs are masked is MaskMatch's, MaskSup's and S4MIM's; which mask a view gets, and that hidden
    pixels are the channel mean, is our reading of them.

    Args:
      name: of the mask, see `views/table.py`: which keys of config.method.masks hold, and the stream of random numbers.
      image: the normalised view. class_region: labels with 255. index: of the global examples.
      config: reads method and model. randomness: of the step.

    Returns:
      Masked, of the shapes and dtypes of `image` and `class_region`.
    """
    masks, size = config.method.masks, image.shape[1:3]
    keys = randomness.keys(f'mask/{name}', index)
    if masks[f'{name}_kind'] == 'freeform':
        visible = freeform_mask(keys, size, *masks.freeform)
    else:
        patch, feature_positions = _cells(size, config)
        visible = grid_mask(keys, size, patch, masks[f'{name}_ratio'], feature_positions)
    if masks.input_scope == 'class_sampled':
        chosen = sample_class(randomness.keys(f'mask_class/{name}', index), class_region)
        own = class_region == chosen[:, None, None]
        # The literal reading of class-wise MIM: everything but one class is absent from the input.
        visible, class_region = visible & own, jnp.where(own, class_region, IGNORE)
    return Masked(jnp.where(visible[..., None], image, 0.0), visible, class_region)


def _cells(size, config):
    """(patch, feature_positions) as `grid_mask` takes them, for images of `size` (H, W) (ours).

    patch: a number of pixels, and feature_positions None; or a number of positions, and int [H] and [W].
    """
    method, grid = config.method, feature_grid(config.model)
    whole = bool(method.class_wise_mim or method.feature_aggregation)
    patch = method.masks.patch or default_patch(size, grid.stride, whole)
    if not whole:
        return patch, None
    # Features of a position that is half hidden belong to neither side of class-wise MIM and aggregation.
    return patch / grid.stride, tuple(map(grid.of_pixels, size))


def default_patch(size: tuple[int, int], stride: int, whole: bool) -> int:
    """About a tenth of the shorter side: 32 at crops 321 and 513, 64 at 801 where the stride is 16 (ours).

    A multiple of two strides of the encoder. Where a tenth is less than two strides: the tenth itself, or, if cells
    must consist of `whole` positions of the feature grid, one stride.
    """
    tenth = min(size) / 10
    if tenth >= 2 * stride:
        return int(tenth // (2 * stride)) * 2 * stride
    return stride if whole else max(1, round(tenth))


def sample_class(keys: Key[Array, ' B'], class_region: Int32[Array, 'B H W']) -> Int32[Array, ' B']:
    """One of the classes present in each image, each equally likely, whatever its area (ours).

    Args:
      class_region: class ids below 255, or 255.

    Returns:
      255 where no class is present.
    """
    present = jax.vmap(lambda region: jnp.zeros(256, bool).at[region.reshape(-1)].set(True))(class_region)[:, :IGNORE]
    noise = jax.vmap(lambda key: jax.random.uniform(key, (IGNORE,)))(keys)
    chosen = jnp.argmax(jnp.where(present, noise, -1.0), axis=-1).astype(jnp.int32)
    return jnp.where(jnp.any(present, axis=-1), chosen, IGNORE)
