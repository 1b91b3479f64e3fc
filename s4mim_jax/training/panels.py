"""Pictures of what training sees: input, label, prediction, pseudo-label with the kept pixels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from s4mim_jax.parallel import Collectives, batch_sharding, replicated
from s4mim_jax.training.passes import plan
from s4mim_jax.training.scene import compose_scene
from s4mim_jax.training.state import build_model
from s4mim_jax.views.normalize import denormalize

VOID = (96, 96, 96)


def make_look(config, num_classes: int, mesh) -> Callable:
    """Compiles `look(variables, teacher, batch, step)` -> arrays of the first `log.images` images.

    The result has x, x_label, x_prediction and, with unlabelled terms, w, w_label, w_kept and the
    strong view s1 with its mixed target s1_label, s1_kept. Images are u8 [N, H, W, 3].
    """
    passes, model = plan(config.method), build_model(config, num_classes)
    collectives = Collectives(shards=mesh.size)
    count = min(config.log.images, config.batch.labeled,
                config.batch.unlabeled if passes.unlabeled else config.batch.labeled)

    def look(variables, teacher, batch, step):
        scene, _ = compose_scene(model, config, passes, collectives, variables, teacher, batch, step)
        picture = lambda name: jnp.clip(jnp.round(denormalize(scene.images[name][:count])), 0, 255).astype(jnp.uint8)
        seen = {}
        if 'x' in scene.images:
            logits = model.apply(variables, scene.images['x'][:count], train=False).logits
            seen |= {'x': picture('x'), 'x_label': scene.label[:count],
                     'x_prediction': jnp.argmax(logits, axis=-1)}
        for name in ('w', 's1'):
            if name in scene.targets and name in scene.images:
                target = scene.targets[name]
                seen |= {name: picture(name), f'{name}_label': jnp.where(target.valid, target.label, 255)[:count],
                         f'{name}_kept': target.kept[:count]}
        return seen

    return jax.jit(look, in_shardings=(None, None, batch_sharding(mesh), None), out_shardings=replicated(mesh))


def draw(seen: dict, palette: np.ndarray) -> dict[str, np.ndarray]:
    """Two pictures, a row an image: `labeled` (image, label, prediction) and `unlabeled` (weak view,
    pseudo-label, its kept pixels, strong view, its kept targets). palette: u8 [C, 3]."""
    colors = np.full((256, 3), VOID, np.uint8)
    colors[:len(palette)] = palette
    paint = lambda name: colors[np.asarray(seen[name]).astype(np.uint8)]
    kept = lambda name: np.where(np.asarray(seen[f'{name}_kept'])[..., None], paint(f'{name}_label'), 0)
    rows = {}
    if 'x' in seen:
        rows['labeled'] = [np.asarray(seen['x']), paint('x_label'), paint('x_prediction')]
    if 'w' in seen:
        rows['unlabeled'] = [np.asarray(seen['w']), paint('w_label'), kept('w')]
        if 's1' in seen:
            rows['unlabeled'] += [np.asarray(seen['s1']), kept('s1')]
    return {name: _grid(columns) for name, columns in rows.items()}


def _grid(columns: list[np.ndarray], gap: int = 2) -> np.ndarray:
    padded = [np.pad(c, ((0, 0), (0, gap), (0, gap), (0, 0)), constant_values=255) for c in columns]
    return np.concatenate(np.concatenate(padded, axis=2), axis=0)
