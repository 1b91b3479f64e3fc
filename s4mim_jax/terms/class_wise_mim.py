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
from s4mim_jax.terms.patch_norm import PATCH, normalize_patches, restore_patches
from s4mim_jax.terms.semantic_mim import COPIES


def needs(method) -> tuple[str, ...]:
    """The masked copies of `method.mim.views`, whose features the pixel decoder takes."""
    return tuple(COPIES[view] for view in method.mim.views)


def loss(scene) -> list[Ratio]:
    """One Ratio of vectors [C] a view; unlabelled views grow in over the first steps (`method.mim.ramp`).

    The target is what the view showed before its mask, with `method.mim.patch_norm` (MAE's) patch by patch.
    """
    mim, ratios = scene.method.mim, []
    for view in mim.views:
        name = COPIES[view]
        target, copy, classes = _whole(scene, name), scene.masked[name], scene.logits[name].shape[-1]
        if mim.patch_norm:
            target = normalize_patches(target, PATCH)
        ratio = reconstruction_error(
            scene.reconstructed[name], target, copy.part, copy.visible, scene.positions, classes)
        ratios.append(ramped(ratio, view, scene))
    return ratios


def as_pixels(scene, copy: str) -> jax.Array:
    """The reconstruction of a masked copy in the view's own values: f32 [B, H, W, C], normalised. To look at (ours).

    With `method.mim.patch_norm` the decoder leaves out each patch's mean and deviation: the view's are put back.
    """
    pixels = scene.reconstructed[copy]
    return restore_patches(pixels, _whole(scene, copy), PATCH) if scene.method.mim.patch_norm else pixels


def _whole(scene, copy):
    """f32 [B, H, W, C]: the view of which a masked copy was made."""
    view = {'x_masked': 'x', 'w_masked': 'w', 's1_masked': 's1'}[copy]
    return scene.images['w_photometric' if view == 'w' and scene.method.masks.w_photometric else view]


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
    """Marked positions by class (ours): i32 [B, h, w], bool [B, h, w] -> bool [B, h, w, C]; 255 is in none."""
    return (gate[..., None] == jnp.arange(num_classes)) & marked[..., None]


def ramped(ratio: Ratio, view: str, scene) -> Ratio:
    """Unlabelled views count in full only after `method.mim.ramp` of the steps (ours); a Ratio of the same shapes."""
    if view == 'x' or not scene.method.mim.ramp:
        return ratio
    return Ratio(ratio.total * jnp.minimum(scene.progress / scene.method.mim.ramp, 1.0), ratio.count)
