"""L_pix: each class's image region is reconstructed from its own visible parts (S4MIM, arXiv 2411.08756).

Our reading: L1 between the pixel decoder's output and the masked view's own pixels, on hidden pixels,
mean a class, then mean over the classes. An image's class counts when it has a hidden and a visible
position (most of its pixels are). `method.mim.scope = image` opens the decoder's gate and changes
nothing else: plain MIM.
"""

import jax
import jax.numpy as jnp

from s4mim_jax.models.positions import Positions
from s4mim_jax.terms.cross_entropy import IGNORE, Ratio
from s4mim_jax.terms.semantic_mim import COPIES


def needs(method) -> tuple[str, ...]:
    return tuple(COPIES[view] for view in method.mim.views)


def loss(scene) -> list[Ratio]:
    """One vector of classes a view; unlabelled views grow in over the first steps (`method.mim.ramp`)."""
    mim, ratios = scene.method.mim, []
    for view in mim.views:
        copy, base = scene.masked[COPIES[view]], {'x': 'x', 'w': 'w', 's': 's1'}[view]
        target = scene.images['w_photometric' if view == 'w' and scene.method.masks.w_photometric else base]
        if mim.patch_norm:
            target = normalize_patches(target, 16)
        classes = scene.logits[COPIES[view]].shape[-1]
        ratio = reconstruction_error(
            scene.reconstructed[COPIES[view]], target, copy.part, copy.visible, scene.positions, classes)
        ratios.append(ramped(ratio, view, scene))
    return ratios


def reconstruction_error(pixels, target, part, visible, positions: Positions, num_classes) -> Ratio:
    """L1 on hidden pixels by class.

    Args:
      pixels, target: f32 [B, H, W, 3]. part: i32 [B, H, W], classes or 255. visible: bool [B, H, W].
      positions: of the feature map, at which the decoder was gated.

    Returns:
      Ratio of vectors [C]. A pixel counts where its class is the one that its position was decoded
      with; so in both scopes the same pixels count.
    """
    gate, seen = positions.at_centres(part), positions.largely(visible)
    eligible = jnp.any(members(gate, seen, num_classes), (1, 2)) & jnp.any(members(gate, ~seen, num_classes), (1, 2))
    decoded_as = positions.spread(gate, part.shape[1:3])
    error = jnp.mean(jnp.abs(pixels - jax.lax.stop_gradient(target)), axis=-1)
    counted = (part != IGNORE) & (part == decoded_as) & ~visible
    # One fused reduction a class: no [B, H, W, C] array is written.
    hit = (part[..., None] == jnp.arange(num_classes)) & counted[..., None] & eligible[:, None, None]
    return Ratio(jnp.sum(jnp.where(hit, error[..., None], 0.0), (0, 1, 2)), jnp.sum(hit, (0, 1, 2), dtype=jnp.int32))


def members(gate: jax.Array, marked: jax.Array, num_classes: int) -> jax.Array:
    """bool [B, h, w, C]: marked positions, each in its class."""
    return (gate[..., None] == jnp.arange(num_classes)) & marked[..., None]


def ramped(ratio: Ratio, view: str, scene) -> Ratio:
    """Unlabelled views count in full only after `method.mim.ramp` of the steps (ours)."""
    if view == 'x' or not scene.method.mim.ramp:
        return ratio
    return Ratio(ratio.total * jnp.minimum(scene.progress / scene.method.mim.ramp, 1.0), ratio.count)


def normalize_patches(images: jax.Array, patch: int) -> jax.Array:
    """Mean 0, deviation 1 in every patch x patch square and channel (MAE's target); f32 [B, H, W, 3]."""
    batch, height, width, channels = images.shape
    around = [(0, 0), (0, -height % patch), (0, -width % patch), (0, 0)]
    squares = jnp.pad(images, around, mode='edge')
    rows, columns = squares.shape[1] // patch, squares.shape[2] // patch
    squares = squares.reshape(batch, rows, patch, columns, patch, channels)
    mean, var = jnp.mean(squares, (2, 4), keepdims=True), jnp.var(squares, (2, 4), keepdims=True)
    squares = (squares - mean) * jax.lax.rsqrt(var + 1e-6)
    return squares.reshape(batch, rows * patch, columns * patch, channels)[:, :height, :width]
