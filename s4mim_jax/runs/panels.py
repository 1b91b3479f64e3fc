"""Pictures of what training sees: input, label, prediction, pseudo-label with the kept pixels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from s4mim_jax import terms
from s4mim_jax.models import build_model
from s4mim_jax.parallel import Collectives, batch_sharding, replicated
from s4mim_jax.training import watch
from s4mim_jax.training.forward import forward_pass
from s4mim_jax.training.passes import passes_of
from s4mim_jax.views.normalize import as_rgb, denormalize, statistics
from s4mim_jax.views.randomness import StepRandomness
from s4mim_jax.views.table import LABELED, VIEWS, WEAK, views_of

VOID = (96, 96, 96)
STRIPES = ((225, 225, 225), (150, 150, 150))  # of pixels that are not kept: no class is striped
NAMES = {'x': 'image', 'w': 'weak view', 's1': 'strong view', 's2': 'strong view 2'}  # others stand as they are
TITLE = 14  # pixels of height for the names of columns


def make_snapshot(config, num_classes: int, mesh) -> Callable:
    """Compiles `snapshot(state, batch, step)` -> (pictures, counts).

    pictures, of the first `log.images` images: x, x_label, x_prediction and, with unlabelled terms, w,
    w_label, w_kept, with a refinement w_unrefined, and the strong view s1 with its mixed target
    s1_label, s1_kept; every masked copy NAME with its prediction NAME_prediction and, where it is
    reconstructed, NAME_pixels. Images are u8 [N, H, W, 3]. counts: `watch.by_class` of the batch. With
    log.images = 0 there are no pictures, and only what is counted is computed.
    """
    passes, model = passes_of(config.method), build_model(config, num_classes)
    if not config.log.images:
        passes = watch.needed(passes, config.method)
    collectives = Collectives(shards=mesh.size)
    count = min(config.log.images, config.batch.labeled,
                config.batch.unlabeled if passes.unlabeled else config.batch.labeled)

    def snapshot(state, batch, step):
        variables = {'params': state.params, 'batch_stats': state.batch_stats}
        forward, _ = forward_pass(model, config, passes, collectives, variables, state.ema, batch,
                                 StepRandomness(state.seed, step), state.terms)
        seen = pictures(forward, config.data, count) if count else {}
        if LABELED in seen:
            logits = model.apply(state.variables(), forward.images[LABELED][:count], train=False).logits
            seen[f'{LABELED}_prediction'] = jnp.argmax(logits, axis=-1)
        return seen, watch.by_class(forward, batch, num_classes)

    return jax.jit(snapshot, in_shardings=(None, batch_sharding(mesh), None), out_shardings=replicated(mesh))


def pictures(forward, data, count: int) -> dict[str, jax.Array]:
    """What a Forward holds of `make_snapshot`'s pictures, all but x_prediction; of the first `count` images.

    Images are u8 [N, H, W, 3], labels and predictions integer [N, H, W], the rest bool [N, H, W].
    data: `config.data`, for its statistics.
    """
    def bytes_of(images):
        pixels = denormalize(images[:count], *statistics(data))
        return as_rgb(jnp.clip(jnp.round(pixels), 0, 255).astype(jnp.uint8))

    seen = {}
    if LABELED in forward.images:
        seen |= {LABELED: bytes_of(forward.images[LABELED]), f'{LABELED}_label': forward.label[:count]}
    for row in views_of(forward.method).values():
        name = row.name
        if row.panel == 'unlabeled' and name in forward.targets and name in forward.images:
            target = forward.targets[name]
            seen |= {name: bytes_of(forward.images[name]),
                     f'{name}_label': jnp.where(target.valid, target.label, 255)[:count],
                     f'{name}_kept': target.kept[:count]}
    if WEAK in seen and forward.method.selection.refinement != 'none':
        seen[f'{WEAK}_unrefined'] = forward.targets[WEAK].unrefined[:count]
    for term in terms.active(forward.method).values():
        for name, pixels in term.pictures(forward).items() if hasattr(term, 'pictures') else ():
            copy = forward.masked[name]
            seen[f'{name}_pixels'] = bytes_of(jnp.where(copy.visible[..., None], copy.image, pixels))
    for name, copy in forward.masked.items():
        seen |= {name: bytes_of(copy.image), f'{name}_prediction': jnp.argmax(forward.logits[name][:count], axis=-1)}
    return seen


def draw(seen: dict, palette: np.ndarray, rows=VIEWS) -> dict[str, np.ndarray]:
    """Pictures u8 [H, W, 3] by name, a row an image, columns in the order below; a name without columns is left out.

    seen: `make_snapshot`'s pictures as arrays of the host. palette: u8 [C, 3]; classes beyond it and 255 are VOID,
    pixels that are not kept striped. rows: of the table of views, which says where a view is shown. The first row of a
    picture holds the names of its columns.

    labeled: image, label, prediction. unlabeled: weak view, pseudo-label, its kept pixels (with a
    refinement: those kept without it first), strong view, its kept targets. masked: every masked copy
    with its prediction and its reconstruction.
    """
    colors = np.full((256, 3), VOID, np.uint8)
    colors[:len(palette)] = palette
    paint = lambda name: colors[np.asarray(seen[name]).astype(np.uint8)]
    marked = lambda name, mask: np.where(np.asarray(seen[mask])[..., None], paint(name), _stripes(seen[mask].shape))
    columns = {'labeled': [], 'unlabeled': [], 'masked': []}
    for row in rows:
        name = row.name
        if not row.panel or name not in seen:
            continue
        into = columns[row.panel]
        into.append((NAMES.get(name, name), np.asarray(seen[name])))
        if row.panel == 'labeled':
            into += [('label', paint(f'{name}_label')), ('prediction', paint(f'{name}_prediction'))]
        elif row.panel == 'unlabeled':
            into += [] if row.cutmix else [('pseudo-label', paint(f'{name}_label'))]
            into += [(title, marked(f'{name}_label', f'{name}_{mask}'))
                     for title, mask in (('kept, raw', 'unrefined'), ('kept', 'kept')) if f'{name}_{mask}' in seen]
        else:
            into.append(('prediction', paint(f'{name}_prediction')))
            into += [('reconstructed', np.asarray(seen[f'{name}_pixels']))] if f'{name}_pixels' in seen else []
    return {name: _grid(pictures) for name, pictures in columns.items() if pictures}


def _stripes(shape: tuple[int, ...]) -> np.ndarray:
    """u8 [N, H, W, 3], diagonal stripes of STRIPES."""
    rows, columns = np.indices(shape[1:])
    return np.broadcast_to(np.array(STRIPES, np.uint8)[(rows + columns) // 3 % 2], (*shape, 3))


def _grid(columns: list[tuple[str, np.ndarray]], gap: int = 2) -> np.ndarray:
    padded = [np.pad(c, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255) for _, c in columns]
    body = np.concatenate(np.concatenate(padded, axis=2), axis=0)
    head = Image.new('RGB', (body.shape[1], TITLE), 'white')
    for number, (title, _) in enumerate(columns):
        width = padded[number].shape[2]
        cell = Image.new('RGB', (width - gap, TITLE), 'white')  # a long name ends with its column
        ImageDraw.Draw(cell).text((1, 0), title, fill='black', font=ImageFont.load_default(11))
        head.paste(cell, (number * width, 0))
    return np.concatenate([np.asarray(head), body])
