"""Pictures of what training sees: input, label, prediction, pseudo-label with the kept pixels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from s4mim_jax import terms
from s4mim_jax.models import build_model
from s4mim_jax.parallel import Collectives, batch_sharding, replicated
from s4mim_jax.training import watch
from s4mim_jax.training.passes import plan
from s4mim_jax.training.scene import compose_scene
from s4mim_jax.views.keys import Draws
from s4mim_jax.views.normalize import as_rgb, denormalize, statistics
from s4mim_jax.views.table import LABELED, VIEWS, WEAK, table

VOID = (96, 96, 96)


def make_look(config, num_classes: int, mesh) -> Callable:
    """Compiles `look(state, batch, step)` -> (pictures, counts).

    pictures, of the first `log.images` images: x, x_label, x_prediction and, with unlabelled terms, w,
    w_label, w_kept, with a refinement w_unrefined, and the strong view s1 with its mixed target
    s1_label, s1_kept; every masked copy NAME with its prediction NAME_prediction and, where it is
    reconstructed, NAME_pixels. Images are u8 [N, H, W, 3]. counts: `watch.by_class` of the batch. With
    log.images = 0 there are no pictures, and only what is counted is computed.
    """
    passes, model = plan(config.method), build_model(config, num_classes)
    if not config.log.images:
        passes = watch.needed(passes, config.method)
    collectives = Collectives(shards=mesh.size)
    count = min(config.log.images, config.batch.labeled,
                config.batch.unlabeled if passes.unlabeled else config.batch.labeled)

    def look(state, batch, step):
        variables = {'params': state.params, 'batch_stats': state.batch_stats}
        scene, _ = compose_scene(model, config, passes, collectives, variables, state.ema, batch,
                                 Draws(state.seed, step), state.terms)
        seen = pictures(scene, config.data, count) if count else {}
        if LABELED in seen:
            logits = model.apply(state.variables(), scene.images[LABELED][:count], train=False).logits
            seen[f'{LABELED}_prediction'] = jnp.argmax(logits, axis=-1)
        return seen, watch.by_class(scene, batch, num_classes)

    return jax.jit(look, in_shardings=(None, batch_sharding(mesh), None), out_shardings=replicated(mesh))


def pictures(scene, data, count: int) -> dict[str, jax.Array]:
    """What a Scene holds of `make_look`'s pictures, all but x_prediction; of the first `count` images.

    Images are u8 [N, H, W, 3], labels and predictions integer [N, H, W], the rest bool [N, H, W].
    data: `config.data`, for its statistics.
    """
    def bytes_of(images):
        pixels = denormalize(images[:count], *statistics(data))
        return as_rgb(jnp.clip(jnp.round(pixels), 0, 255).astype(jnp.uint8))

    seen = {}
    if LABELED in scene.images:
        seen |= {LABELED: bytes_of(scene.images[LABELED]), f'{LABELED}_label': scene.label[:count]}
    for row in table(scene.method).values():
        name = row.name
        if row.panel == 'unlabeled' and name in scene.targets and name in scene.images:
            target = scene.targets[name]
            seen |= {name: bytes_of(scene.images[name]),
                     f'{name}_label': jnp.where(target.valid, target.label, 255)[:count],
                     f'{name}_kept': target.kept[:count]}
    if WEAK in seen and scene.method.selection.refinement != 'none':
        seen[f'{WEAK}_unrefined'] = scene.targets[WEAK].unrefined[:count]
    for term in terms.active(scene.method).values():
        for name, pixels in term.pictures(scene).items() if hasattr(term, 'pictures') else ():
            copy = scene.masked[name]
            seen[f'{name}_pixels'] = bytes_of(jnp.where(copy.visible[..., None], copy.image, pixels))
    for name, copy in scene.masked.items():
        seen |= {name: bytes_of(copy.image), f'{name}_prediction': jnp.argmax(scene.logits[name][:count], axis=-1)}
    return seen


def draw(seen: dict, palette: np.ndarray, rows=VIEWS) -> dict[str, np.ndarray]:
    """Pictures u8 [H, W, 3] by name, a row an image, columns in the order below; a name without columns is left out.

    seen: `make_look`'s pictures as arrays of the host. palette: u8 [C, 3]; classes beyond it and 255 are VOID,
    pixels that are not kept black. rows: of the table of views, which says where a view is shown.

    labeled: image, label, prediction. unlabeled: weak view, pseudo-label, its kept pixels (with a
    refinement: those kept without it first), strong view, its kept targets. masked: every masked copy
    with its prediction and its reconstruction.
    """
    colors = np.full((256, 3), VOID, np.uint8)
    colors[:len(palette)] = palette
    paint = lambda name: colors[np.asarray(seen[name]).astype(np.uint8)]
    marked = lambda name, mask: np.where(np.asarray(seen[mask])[..., None], paint(name), 0)
    columns = {'labeled': [], 'unlabeled': [], 'masked': []}
    for row in rows:
        name = row.name
        if not row.panel or name not in seen:
            continue
        into = columns[row.panel]
        into.append(np.asarray(seen[name]))
        if row.panel == 'labeled':
            into += [paint(f'{name}_label'), paint(f'{name}_prediction')]
        elif row.panel == 'unlabeled':
            into += [] if row.cutmix else [paint(f'{name}_label')]
            into += [marked(f'{name}_label', m) for m in (f'{name}_unrefined', f'{name}_kept') if m in seen]
        else:
            into.append(paint(f'{name}_prediction'))
            into += [np.asarray(seen[f'{name}_pixels'])] if f'{name}_pixels' in seen else []
    return {name: _grid(pictures) for name, pictures in columns.items() if pictures}


def _grid(columns: list[np.ndarray], gap: int = 2) -> np.ndarray:
    padded = [np.pad(c, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255) for c in columns]
    return np.concatenate(np.concatenate(padded, axis=2), axis=0)
