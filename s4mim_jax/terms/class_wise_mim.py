"""L_pix: each class's image region is reconstructed from its own visible parts (S4MIM, arXiv 2411.08756).

Our reading: L1 between the pixel decoder's output and the masked view's own pixels, on hidden pixels,
mean a class, then mean over the classes. An image's class counts when it has a hidden and a visible
position (most of its pixels are). `method.mim.scope = image` opens the decoder's gate and changes
nothing else: plain MIM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp

from s4mim_jax.config.key import Key, share
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.config.precision import compute_dtype
from s4mim_jax.models import feature_channels, feature_stride
from s4mim_jax.models.feature_grid import FeatureGrid
from s4mim_jax.models.pixel_decoder import PixelDecoder
from s4mim_jax.terms.patch_norm import PATCH, normalize_patches, restore_patches
from s4mim_jax.terms.ratio import Ratio
from s4mim_jax.views.table import View, views_of

if TYPE_CHECKING:
    from jaxtyping import Array, Bool, Float, Int32, PRNGKeyArray

HEAD = 'pixel_decoder'
BY_CLASS = True


def needs(method) -> tuple[str, ...]:
    """The masked copies of `method.mim.views`, whose features the pixel decoder takes."""
    return tuple(row.name for row in copies(method))


def defaults() -> dict[str, Key]:
    """Its keys in config.method."""
    return {
        'mim.views': Key(('x', 'w', 's'), 'masks of the views whose copies serve this term and feature_aggregation'),
        'mim.scope': Key('class', 'gate the pixel decoder by class, or plain MIM', choices=('class', 'image')),
        'mim.tau': Key(None, 'so confident unlabelled pixels take part; None = method.tau', kind=float, least=0.0,
                       most=1.0),
        'mim.ramp': share(0.05, 'share of the steps over which the unlabelled parts grow from 0'),
        'mim.patch_norm': Key(False, 'targets normalised patch by patch'),
        'mim.width': Key(64, 'features of the pixel decoder', least=1),
        # A decoder that does not mix positions cannot tell class-wise from plain MIM.
        'mim.layers': Key(2, 'gated layers of the pixel decoder', least=2),
    }


def loss(forward) -> list[Ratio]:
    """One Ratio of vectors [C] a view; unlabelled views grow in over the first steps (`method.mim.ramp`).

    The target is what the view showed before its mask, with `method.mim.patch_norm` (MAE's) patch by patch.
    """
    mim, ratios = forward.method.mim, []
    decoded = reconstructed(forward)
    for row in copies(forward.method):
        name = row.name
        target, copy, classes = _whole(forward, name), forward.masked[name], forward.logits[name].shape[-1]
        if mim.patch_norm:
            target = normalize_patches(target, PATCH)
        ratio = reconstruction_error(
            decoded[name], target, copy.class_region, copy.visible, forward.grid, classes)
        ratios.append(ramped(ratio, row, forward))
    return ratios


def pixel_decoder(config) -> PixelDecoder:
    """The head of this term, for the encoder of a whole config."""
    mim = config.method.mim
    return PixelDecoder(mim.width, feature_stride(config.model), mim.layers, dtype=compute_dtype(config),
                        channels=config.data.channels)


def init(config, key: PRNGKeyArray) -> dict:
    """Random parameters of the pixel decoder."""
    features = jnp.zeros((1, 2, 2, feature_channels(config)))
    return pixel_decoder(config).init(key, features, jnp.zeros((1, 2, 2), jnp.int32))['params']


def reconstructed(forward) -> dict[str, Float[Array, 'B H W C']]:
    """Masked copy -> what the pixel decoder says of it; all copies in one call."""
    rows, grid = copies(forward.method), forward.grid
    maps = [forward.features[row.name] for row in rows]
    gates = [grid.at_centres(forward.masked[row.name].class_region) for row in rows]
    if forward.method.mim.scope == 'image':  # plain MIM: who takes part is the same, the gate is open
        gates = [jnp.where(gate == IGNORE, IGNORE, 0) for gate in gates]
    join, split = forward.collectives.join, forward.collectives.split
    pixels = pixel_decoder(forward.config).apply({'params': forward.heads[HEAD]}, join(maps), join(gates))
    pixels = grid.crop(pixels, tuple(forward.config.data.crop))
    return dict(zip([row.name for row in rows], split(pixels, [m.shape[0] for m in maps])))


def copies(method) -> list[View]:
    """The masked copies that `method.mim.views` names by their masks: rows of the table of views."""
    found = views_of(method).copies
    return [found[mask] for mask in method.mim.views]


def pictures(forward) -> dict[str, Float[Array, 'B H W C']]:
    """The reconstruction of each copy in its view's own values: f32 [B, H, W, C], normalised. To look at (ours).

    With `method.mim.patch_norm` the decoder leaves out each patch's mean and deviation: the view's are put back.
    """
    own = lambda copy, pixels: restore_patches(pixels, _whole(forward, copy), PATCH)
    return {copy: own(copy, pixels) if forward.method.mim.patch_norm else pixels
            for copy, pixels in reconstructed(forward).items()}


def _whole(forward, copy):
    """f32 [B, H, W, C]: the view of which a masked copy was made."""
    return forward.images[views_of(forward.method).base(copy, forward.method.masks)]


def reconstruction_error(pixels: Float[Array, 'B H W D'], target: Float[Array, 'B H W D'],
                         class_region: Int32[Array, 'B H W'], visible: Bool[Array, 'B H W'], grid: FeatureGrid,
                         num_classes: int) -> Ratio:
    """L1 on hidden pixels by class.

    Args:
      class_region: classes or 255.
      grid: of the feature map, at whose positions the decoder was gated.

    Returns:
      Ratio of vectors [C]. A pixel counts where its class is the one that its position was decoded
      with; so in both scopes the same pixels count.
    """
    gate, seen = grid.at_centres(class_region), grid.largely(visible)
    eligible = jnp.any(members(gate, seen, num_classes), (1, 2)) & jnp.any(members(gate, ~seen, num_classes), (1, 2))
    decoded_as = grid.spread(gate, class_region.shape[1:3])
    error = jnp.mean(jnp.abs(pixels - jax.lax.stop_gradient(target)), axis=-1)
    counted = (class_region != IGNORE) & (class_region == decoded_as) & ~visible
    # One fused reduction a class: no [B, H, W, C] array is written.
    hit = (class_region[..., None] == jnp.arange(num_classes)) & counted[..., None] & eligible[:, None, None]
    return Ratio(jnp.sum(jnp.where(hit, error[..., None], 0.0), (0, 1, 2)), jnp.sum(hit, (0, 1, 2), dtype=jnp.int32))


def members(gate: Int32[Array, 'B h w'], marked: Bool[Array, 'B h w'], num_classes: int) -> Bool[Array, 'B h w C']:
    """Marked positions by class (ours); class 255 is in none."""
    return (gate[..., None] == jnp.arange(num_classes)) & marked[..., None]


def ramped(ratio: Ratio, row: View, forward) -> Ratio:
    """Unlabelled views count in full only after `method.mim.ramp` of the steps (ours); a Ratio of the same shapes."""
    if row.side == 'labeled' or not forward.method.mim.ramp:
        return ratio
    return Ratio(ratio.total * jnp.minimum(forward.progress / forward.method.mim.ramp, 1.0), ratio.count)
