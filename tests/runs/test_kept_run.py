"""A run folder written in November 2026 (orbax-checkpoint 0.12.8, JAX 0.10.2) is restored by whatever is installed."""

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
import tiny_network

from s4mim_jax.parallel import make_mesh
from s4mim_jax.runs.checkpoints import Checkpoints, restore_weights

KEPT = Path(__file__).with_name('run_orbax_0_12_8')  # two steps of unimatch_v2 on `tiny_network`


@pytest.fixture
def config(monkeypatch):
    tiny_network.replace(monkeypatch)
    result = tiny.config('unimatch_v2')
    result.model.update(encoder='resnet18', decoder='deeplabv3plus', output_stride=8)
    return result


def same(tree, name=''):
    leaves = {jax.tree_util.keystr(path, simple=True, separator='/'): leaf
              for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
    with np.load(KEPT / 'expected.npz') as expected:
        wanted = {key.removeprefix(name): expected[key] for key in expected if key.startswith(name)}
    assert leaves.keys() == wanted.keys()
    for key, value in wanted.items():
        np.testing.assert_array_equal(leaves[key], value, err_msg=key)


def test_training_goes_on_from_it(config, tmp_path):
    shutil.copytree(KEPT, tmp_path / 'run')
    kept = Checkpoints(tmp_path / 'run')
    assert kept.latest_step() == 2
    state, loop = kept.restore(config, tiny.CLASSES, make_mesh(config, jax.devices()[:1]))
    kept.close()
    assert int(state.step) == 2 and loop == {'best': 0.5, 'best_step': 1, 'sums': {}}
    same({'params': state.params, 'batch_stats': state.batch_stats, 'ema': state.ema})


def test_its_weights_are_read_where_nothing_may_be_written(config):
    variables, step, weights = restore_weights(KEPT, config, tiny.CLASSES, 'latest', 'teacher')
    assert (step, weights) == (2, 'teacher')
    same(variables, 'ema/')
    assert restore_weights(KEPT, config, tiny.CLASSES, 'best')[1] == 1
