"""A run folder with random weights and a folder dataset, as train would have left them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import tiny
from PIL import Image

from s4mim_jax import data, evaluation
from s4mim_jax.parallel import make_mesh
from s4mim_jax.runs import run_folder
from s4mim_jax.runs.checkpoints import Checkpoints
from s4mim_jax.training import create_state

CLASSES = tuple(f'class{i}' for i in range(tiny.CLASSES))


_SHARED = []


def shared(tmp_path_factory):
    """(run folder, config, state) of one run, made once for all tests that only read it."""
    if not _SHARED:
        root = tmp_path_factory.mktemp('shared')
        settings = config(dataset(root / 'data'))
        _SHARED.append((root / 'run', settings, make(root / 'run', settings)))
    return _SHARED[0]


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
    look = jax.jit(evaluation.network(config, len(CLASSES)))
    state = state.replace(step=state.step + 3, params=state.params | _balanced(look, state.variables('student'), 1))
    if state.ema is not None:
        state = state.replace(ema={**state.ema, 'params': _balanced(look, state.ema, 2)})
    checkpoints = Checkpoints(workdir)
    checkpoints.save(state, {'best_step': 3, 'best_miou': 0.5})
    checkpoints.wait()
    checkpoints.close()
    return state


def _balanced(look, variables, seed):
    """Noise on the weights, and a last bias for which no class wins everywhere, as it would untrained."""
    rng = np.random.default_rng(seed)
    noisy = lambda x: np.array(x + 0.02 * rng.normal(size=x.shape), np.float32)
    params = jax.tree.map(noisy, variables['params'])
    images = rng.normal(size=(4, 32, 48, 3)).astype(np.float32).repeat(4, 1)[:, :32]
    logits = look({**variables, 'params': params}, images)
    lasts = [leaf for leaf in jax.tree.leaves(params['decoder']) if leaf.shape == (len(CLASSES),)]
    assert len(lasts) == 1, 'the classifier has one bias, and nothing else of that shape'
    lasts[0] -= np.asarray(jnp.mean(logits, (0, 1, 2)))
    return params
