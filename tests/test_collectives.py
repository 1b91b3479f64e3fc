"""What a step sends between devices: sums, and nothing else."""

import jax
import pytest
import tiny

from s4mim_jax.parallel import hlo, make_mesh, put_batch
from s4mim_jax.training import create_state, make_train_step


def found(method, partition, **changes):
    config = tiny.config(method, partition=partition, batch=16, **changes)  # even on every device: CutMix pairs stay there
    mesh = make_mesh(config)
    state = create_state(config, tiny.CLASSES, mesh)
    step = make_train_step(config, tiny.CLASSES, mesh).lower(state, put_batch(tiny.batch(config), mesh)).compile()
    kinds = {entry.kind: entry for entry in hlo.collectives(step)}
    print(method, partition, [tuple(entry) for entry in kinds.values()])
    return kinds, sum(x.nbytes for x in jax.tree.leaves(state.params))


METHODS = ['s4mc', *(pytest.param(m, marks=pytest.mark.slow) for m in ('supervised', 'unimatch', 'unimatch_v2', 's4mim', 'union'))]


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('partition', ['jit', 'shard_map'])
def test_a_step_holds_all_reduces_only(method, partition):
    kinds, parameters = found(method, partition)
    assert list(kinds) == ['all-reduce']
    # The gradients once; statistics and counts are small beside them even in a tiny network.
    assert parameters <= kinds['all-reduce'].bytes < 1.5 * parameters


@pytest.mark.slow
def test_parameters_in_parts_are_gathered():
    kinds, _ = found('supervised', 'jit', mesh__fsdp=2, model__width=32)
    assert 'all-gather' in kinds and 'all-reduce' in kinds
