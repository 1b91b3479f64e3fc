"""The collectives of compiled programs: known ones on eight devices, and the forms that only TPUs give."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from s4mim_jax.parallel.hlo import Collective, collectives, instructions, shape_bytes

EVERY = PartitionSpec(('rows', 'columns'))


def compiled(function, size=(16, 32)):
    """`function` of a device's block under shard_map, on a 4 x 2 mesh; blocks are [2, 32]."""
    mesh = jax.make_mesh((4, 2), ('rows', 'columns'), axis_types=(AxisType.Auto,) * 2)
    mapped = jax.shard_map(function, mesh=mesh, in_specs=EVERY, out_specs=EVERY, check_vma=False)
    return jax.jit(mapped).lower(jnp.ones(size)).compile()


@pytest.mark.parametrize('function, expected, group', [
    (lambda x: lax.psum(x, ('rows', 'columns')), ('all-reduce', 2 * 32 * 4), 8),
    (lambda x: lax.all_gather(x, 'columns', tiled=True)[:2], ('all-gather', 4 * 32 * 4), 2),
    (lambda x: lax.psum_scatter(jnp.tile(x, (2, 1)), 'rows', tiled=True), ('reduce-scatter', 32 * 4), 4),
    (lambda x: lax.ppermute(x, 'rows', [(i, (i + 1) % 4) for i in range(4)]), ('collective-permute', 2 * 32 * 4), 2),
    (lambda x: lax.all_to_all(x, 'columns', 0, 0, tiled=True), ('all-to-all', 2 * 32 * 4), 2),
])
def test_one_collective_of_each_kind(function, expected, group):
    program = compiled(function)
    assert collectives(program) == [Collective(expected[0], 1, expected[1])]
    found, = instructions(program)
    assert found.group == group and found.times == 1 and 'test_hlo.py:' in found.operation


def test_a_program_without_collectives():
    assert collectives(compiled(lambda x: x * 2)) == []


def test_tuples_are_summed_and_a_loop_counts_once():
    def function(x):
        total, counts = lax.psum((x, x[:, 0].astype(jnp.int32)), ('rows', 'columns'))
        looped = lax.fori_loop(0, 5, lambda i, c: c + lax.pmax(c * i, 'columns'), x)
        return total + counts[:, None] + looped

    program = compiled(function)
    reduced = 2 * 32 * 4 + 2 * 4  # f32 [2, 32] and s32 [2], in one instruction or in two
    assert sum(i.bytes for i in instructions(program) if i.group == 8) == reduced
    in_loop, = [i for i in instructions(program) if i.times > 1]
    assert in_loop.times == 5 and in_loop.bytes == 2 * 32 * 4 and in_loop.group == 2
    every, = collectives(program)
    assert every.kind == 'all-reduce' and every.bytes == reduced + in_loop.bytes


def test_jit_inserts_what_the_sharding_needs():
    mesh = jax.make_mesh((8,), ('rows',), axis_types=(AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, PartitionSpec('rows'))
    program = jax.jit(partial(jnp.sum, axis=0), in_shardings=sharding).lower(jnp.ones((16, 32))).compile()
    assert collectives(program) == [Collective('all-reduce', 1, 32 * 4)]


# What XLA writes for a TPU: layouts with tiles, asynchronous pairs, operations wrapped in a computation.
TPU = '''HloModule jit_f, is_scheduled=true, num_partitions=16

%wrapped (p: f32[64,128]) -> f32[4,128] {
  %p = f32[64,128]{1,0:T(8,128)} parameter(0)
  ROOT %rs = f32[4,128]{1,0:T(4,128)} reduce-scatter(%p), replica_groups=[1,16]<=[16], to_apply=%add
}

ENTRY %main (x: bf16[4,128]) -> bf16[4,128] {
  %g = (bf16[4,128]{1,0:T(4,128)(2,1)}, bf16[64,128]{1,0:T(8,128)(2,1)S(1)}) all-gather-start(%x), dimensions={0}
  %gd = bf16[64,128]{1,0:T(8,128)(2,1)} all-gather-done(%g)
  %r = (f32[]{:T(128)}, /*index=1*/f32[8]{0:T(128)}) all-reduce-start(%a, %b), replica_groups={}, to_apply=%add
  %rd = (f32[]{:T(128)}, f32[8]{0:T(128)}) all-reduce-done(%r)
  %c = (f32[8]{0}, f32[8]{0}, u32[]{:S(2)}, u32[]) collective-permute-start(%b), source_target_pairs={{0,1},{1,0}}
  %cd = f32[8]{0} collective-permute-done(%c)
  %s = ((f32[64,128]{1,0}), f32[4,128]{1,0}, u32[]) async-start(%y), calls=%wrapped
  %sd = f32[4,128]{1,0} async-done(%s)
  %t = ((s32[8], s32[8]), (s32[8], s32[8]), u32[]) all-to-all-start(%b, %b), replica_groups={{0,1},{2,3}}
  ROOT %out = bf16[4,128]{1,0} get-tuple-element(%gd), index=0, metadata={op_name="all-reduce(looks like one)"}
}
'''


def test_asynchronous_pairs_count_once():
    assert collectives(TPU) == [
        Collective('all-reduce', 1, 4 + 8 * 4), Collective('all-gather', 1, 64 * 128 * 2),
        Collective('reduce-scatter', 1, 4 * 128 * 4), Collective('collective-permute', 1, 8 * 4),
        Collective('all-to-all', 1, 2 * 8 * 4)]
    assert [i.group for i in instructions(TPU)] == [16, 16, 16, 2, 2]


@pytest.mark.parametrize('groups, expected', [
    ('{{0,2},{1,3}}', 2), ('[4,4]<=[16]', 4), ('[2,8]<=[4,4]T(1,0)', 8), ('{}', 16),
    ("mesh['axis_0'=16] {'axis_0'}", 16), ("mesh['data'=8,'fsdp'=2] {'fsdp'}", 2),
    ("mesh['data'=8,'fsdp'=2] {'data','fsdp'}", 16), ("mesh['axis_0'=16] {'axis_0':(4)2}", 2)])
def test_every_notation_of_groups(groups, expected):
    line = f'  %a = f32[8]{{0}} all-reduce(%x), channel_id=1, replica_groups={groups}, use_global_device_ids=true'
    found, = instructions(f'HloModule m, num_partitions=16\n\nENTRY %main (x: f32[8]) -> f32[8] {{\n{line}\n}}\n')
    assert found.group == expected and found.bytes == 32


@pytest.mark.parametrize('shape, expected', [
    ('f32[]', 4), ('pred[7]', 7), ('s4[5]', 3), ('(bf16[2,3]{1,0:T(8,128)(2,1)}, u8[4])', 16), ('f8e4m3fn[10]', 10),
    ('s32[<=8,2]', 64), ('c64[2]', 16), ('()', 0), ('token[]', 0), ('f32[0,4]', 0)])
def test_bytes_of_shapes(shape, expected):
    assert shape_bytes(shape) == expected
