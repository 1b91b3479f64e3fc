"""A run folder with random weights and a folder dataset, as train would have left them."""

import json

import numpy as np
import tiny
from PIL import Image

from s4mim_jax import data
from s4mim_jax.parallel import make_mesh
from s4mim_jax.training import create_state, run_folder
from s4mim_jax.training.checkpoints import Checkpoints

CLASSES = tuple(f'class{i}' for i in range(tiny.CLASSES))


def dataset(root, sizes=((40, 48), (40, 48), (33, 50), (40, 48), (64, 35)), classes=tiny.CLASSES):
    """images/ and masks/ of `train`, `val`, `test` in root; masks with some 255."""
    rng = np.random.default_rng(3)
    for split in ('train', 'val', 'test'):
        for number, (height, width) in enumerate(sizes):
            blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            image = Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)
            mask = np.asarray(Image.fromarray(rng.integers(0, classes, (4, 4), dtype=np.uint8)).resize(
                (width, height), Image.Resampling.NEAREST)).copy()
            mask[rng.random(mask.shape) < 0.1] = 255
            for kind, picture in (('images', image), ('masks', Image.fromarray(mask))):
                folder = root / kind / split
                folder.mkdir(parents=True, exist_ok=True)
                picture.save(folder / f'{split}{number}.png')
    (root / 'classes.txt').write_text(''.join(f'{i} {name} {40 * i} {255 - 40 * i} {10 * i}\n'
                                              for i, name in enumerate(CLASSES)))
    return root


def config(data_dir):
    """unimatch_v2 has a teacher of its own."""
    result = tiny.config('unimatch_v2')
    result.model.update(encoder='resnet18', decoder='deeplabv3plus')
    result.data.update(name='folder', dir=str(data_dir), resize=(32, 48))
    result.eval.update(batch=4, multiple=1)
    return result


def make(workdir, config):
    """Writes config.json, run.json and a checkpoint at step 3 whose teacher differs from its student."""
    run_folder.prepare(workdir)
    source = data.open_source(config.data)
    mesh = make_mesh(config)
    run_folder.write_json(workdir / 'config.json', json.loads(config.to_json_best_effort()))
    split = data.training_split(source, 'all', 0)
    run_folder.write_json(workdir / 'run.json', run_folder.describe_run(config, source, split, mesh))
    state = create_state(config, source.num_classes)
    # An untrained network sees one class everywhere; louder heads make it disagree with itself.
    student = _shaken(state.params, 1)
    state = state.replace(step=state.step + 3, params=student)
    if state.ema is not None:
        state = state.replace(ema={**state.ema, 'params': _shaken(state.ema['params'], 2)})
    checkpoints = Checkpoints(workdir)
    checkpoints.save(state, {'best_step': 3, 'best_miou': 0.5})
    checkpoints.wait()
    checkpoints.close()
    return state


def _shaken(params, seed):
    import jax
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: x + 0.3 * rng.normal(size=x.shape).astype(np.float32), params)
