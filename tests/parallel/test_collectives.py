"""What a step sends between devices: sums, and nothing else."""

import jax
import pytest
import tiny
import tiny_network

from s4mim_jax import models
from s4mim_jax.parallel import hlo, make_mesh, put_batch
from s4mim_jax.training import create_state, make_train_step
from s4mim_jax.training.passes import passes_of


def found(method, partition, **changes):
    # An even batch on every device: CutMix pairs stay there. A map on which every tap of every dilated convolution
    # meets the image: a tap that never does has no gradient to sum.
    config = tiny.config(method, partition=partition, batch=16, crop=(65, 64), model__aspp_rates=(1, 2, 3), **changes)
    if models.build is tiny_network.build:
        config.data.crop, config.model.output_stride, config.model.width = (32, 32), 8, 64
        config.views.update(jitter_probability=0.0, blur_probability=0.0)
    mesh = make_mesh(config)
    state = create_state(config, tiny.CLASSES, mesh)
    step = make_train_step(config, tiny.CLASSES, mesh).lower(state, put_batch(tiny.batch(config), mesh)).compile()
    kinds = {entry.kind: entry for entry in hlo.collectives(step)}
    print(method, partition, [tuple(entry) for entry in kinds.values()])
    return kinds, sum(x.nbytes for x in jax.tree.leaves(state.params)), len(passes_of(config.method).calls)


METHODS = ['s4mc', *(pytest.param(m, marks=pytest.mark.slow)
                     for m in ('supervised', 'unimatch', 'unimatch_v2', 's4mim', 'union'))]
REAL = ('supervised',)  # with a ResNet; the others have their views and terms around a small network


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('partition', ['jit', 'shard_map'])
def test_a_step_holds_all_reduces_only(method, partition, monkeypatch):
    if method not in REAL:
        tiny_network.replace(monkeypatch)
    kinds, parameters, calls = found(method, partition)
    assert list(kinds) == ['all-reduce']
    # The gradients once; statistics and counts are small beside them even in a tiny network. XLA's partitioner sums
    # the gradients of each network call by themselves, and its CPU compiler leaves them so.
    sums = 1 if partition == 'shard_map' else calls
    assert parameters <= kinds['all-reduce'].bytes < (sums + 0.25) * parameters


@pytest.mark.slow
def test_parameters_in_parts_are_gathered():
    kinds, _, _ = found('supervised', 'jit', mesh__fsdp=2, model__width=32)
    assert 'all-gather' in kinds and 'all-reduce' in kinds
