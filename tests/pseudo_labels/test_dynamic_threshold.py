"""The partition threshold against sorted margins, on one device and on eight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from s4mim_jax.config.errors import InputError
from s4mim_jax.models import resize_bilinear
from s4mim_jax.parallel import Collectives
from s4mim_jax.parallel.order_statistic import kth_smallest
from s4mim_jax.pseudo_labels import Maps, margin, nearest, neighbor_union, partition_threshold, select

threshold = jax.jit(partition_threshold, static_argnums=3)


def draw(seed, shape=(8, 12, 15), share=0.8):
    rng = np.random.default_rng(seed)
    return rng.random(shape, np.float32), rng.random(shape) < share


def lower(values, alpha):
    """The order statistic by sorting, with the position in float32 as documented."""
    place = np.floor(np.float32(alpha) * np.float32(values.size - 1))
    return np.sort(values)[int(place)]


@pytest.mark.parametrize('alpha', [0.0, 0.1, 0.4, 0.5, 0.77, 1.0])
def test_against_sorting(alpha):
    """Exact, and alpha is traced: all of these run one compiled function."""
    margins, valid = draw(0)
    margins[~valid] = np.nan
    assert float(threshold(margins, valid, alpha, 'global')) == lower(margins[valid], alpha)
    expected = [lower(m[v], alpha) for m, v in zip(margins, valid)]
    np.testing.assert_array_equal(threshold(margins, valid, alpha, 'image'), np.array(expected, np.float32))


def test_against_numpys_lower_quantile():
    margins, valid = draw(1)
    for alpha in (0.25, 0.4, 0.3):
        expected = np.quantile(margins[valid], alpha, method='lower')
        assert float(threshold(margins, valid, alpha, 'global')) == expected


def test_equal_margins_and_extreme_values():
    margins = np.zeros((2, 3, 4), np.float32)
    margins[0, 0] = 1.0
    assert float(threshold(margins, margins >= 0, 0.5, 'global')) == 0.0
    np.testing.assert_array_equal(threshold(margins, margins >= 0, 1.0, 'image'), [1.0, 0.0])
    tiny = np.array([[[1e-38, 1e-30, 1e-7, 1.0 - 1e-7, 1.0]]], np.float32)
    for place, alpha in enumerate((0.0, 0.25, 0.5, 0.75, 1.0)):
        assert float(threshold(tiny, tiny >= 0, alpha, 'global')) == tiny[0, 0, place]


def test_nothing_valid_gives_a_finite_threshold():
    margins, valid = draw(2)
    valid[3] = False
    by_image = np.asarray(threshold(margins, valid, 0.4, 'image'))
    assert np.isfinite(by_image).all() and by_image[3] == 0.0 and (np.delete(by_image, 3) > 0).all()
    assert float(threshold(margins, np.zeros_like(valid), 0.4, 'global')) == 0.0


def test_a_global_threshold_is_not_an_images():
    margins, valid = draw(3)
    margins += np.arange(8, dtype=np.float32)[:, None, None]
    by_image = np.asarray(threshold(margins, valid, 0.4, 'image'))
    assert by_image.shape == (8,) and (np.diff(by_image) > 0).all()
    assert threshold(margins, valid, 0.4, 'global').shape == ()


def test_unknown_scope_is_refused():
    with pytest.raises(InputError, match="'batch'.*global, image"):
        partition_threshold(jnp.ones((1, 2, 2)), jnp.ones((1, 2, 2), bool), 0.4, 'batch')


@pytest.mark.parametrize('scope', ['global', 'image'])
def test_eight_devices_find_the_same_threshold(scope):
    """shard_map with summed counts and jit on sharded arrays; unlike numbers of valid pixels an image."""
    margins, valid = draw(4)
    valid &= np.random.default_rng(5).random(valid.shape) < np.linspace(0.05, 1, 8)[:, None, None]
    expected = np.asarray(threshold(margins, valid, 0.4, scope))
    mesh = Mesh(np.array(jax.devices()[:8]), ('data',))

    def local(m, v, alpha):
        return partition_threshold(m, v, alpha, scope, Collectives(('data',)))

    out = P() if scope == 'global' else P('data')
    mapped = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=(P('data'), P('data'), P()), out_specs=out))
    np.testing.assert_array_equal(mapped(margins, valid, jnp.float32(0.4)), expected)
    compiled = mapped.lower(margins, valid, jnp.float32(0.4)).compile().as_text()
    assert ('all-reduce' in compiled) == (scope == 'global') and 'all-gather' not in compiled

    put = [jax.device_put(a, NamedSharding(mesh, P('data'))) for a in (margins, valid)]
    np.testing.assert_array_equal(threshold(*put, 0.4, scope), expected)
    assert 'all-gather' not in threshold.lower(*put, 0.4, scope).compile().as_text()


@pytest.mark.parametrize('rule', [dict(), dict(matched='unrefined')], ids=str)
def test_eight_devices_keep_the_same_pixels(rule):
    """S4MC's selection under both partitions; one image a device, from hesitant to sure, some with few valid pixels."""
    draw, size = np.random.default_rng(7), (12, 16)
    patches = np.kron(draw.normal(size=(8, 2, 2, 4)), np.ones((1, 3, 4, 1))) + 0.3 * draw.normal(size=(8, 6, 8, 4))
    coarse = jax.nn.softmax(patches.astype(np.float32) * np.linspace(0.3, 3, 8, dtype=np.float32)[:, None, None, None])
    full = resize_bilinear(coarse, size, False)
    maps, valid = Maps(full, coarse, full), np.ones((8, *size), bool)
    valid[:3, 6:] = False
    method = tiny.config('s4mc').method
    method.selection.update(dict(resolution='logits') | rule)

    def look(maps, valid, collectives):
        raw, seen = margin(maps.coarse), nearest(valid, (6, 8))
        gamma = partition_threshold(raw, seen, 0.4 * 0.75, 'global', collectives)
        target = select(maps, valid, method, progress=0.25, collectives=collectives)
        score = raw if method.selection.matched == 'unrefined' else margin(neighbor_union(maps.coarse, valid=seen))
        return gamma, target.kept, resize_bilinear(score[..., None], size, False)[..., 0]

    gamma, kept, score = jax.device_get(look(maps, jnp.asarray(valid), Collectives()))
    bound = gamma if method.selection.matched == 'none' else score[kept].min()
    clear = np.abs(score - bound) > 1e-5
    assert clear.mean() > 0.98 and 0 < kept.sum() < valid.sum()
    mesh = Mesh(np.array(jax.devices()[:8]), ('data',))
    spread = jax.device_put((maps, valid), NamedSharding(mesh, P('data')))
    mapped = jax.shard_map(lambda *a: look(*a, Collectives(('data',))), mesh=mesh, in_specs=P('data'),
                           out_specs=(P(), P('data'), P('data')))
    for program in (mapped, lambda *a: look(*a, Collectives(shards=8))):
        other_gamma, other_kept, _ = jax.device_get(jax.jit(program)(*spread))
        np.testing.assert_allclose(other_gamma, gamma, rtol=1e-5)
        np.testing.assert_array_equal(other_kept[clear], kept[clear])


def test_order_statistics_of_numbers_of_both_signs():
    values = np.random.default_rng(6).normal(size=(3, 40)).astype(np.float32)
    values[0, :4] = -np.inf, np.inf, 0.0, 0.0
    values[1] = -np.abs(values[1])
    ranks = np.array([[0, 7, 39], [39, 20, 1], [5, 0, 20]], np.int32)
    found = np.stack([kth_smallest(values, jnp.asarray(r)) for r in ranks])
    ordered = np.sort(values, axis=-1)
    np.testing.assert_array_equal(found, np.stack([ordered[np.arange(3), r] for r in ranks]))
