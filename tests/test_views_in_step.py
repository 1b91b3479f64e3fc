"""How views and targets of a batch are put together: partners, boxes, independence of the layout."""

import jax
import numpy as np
import pytest
import tiny

from s4mim_jax.parallel import Collectives
from s4mim_jax.pseudo_labels import Target
from s4mim_jax.views import normalize
from s4mim_jax.views.keys import Draws
from s4mim_jax.views.scenes import build_views, mix_target

NAMES = ('x', 'w', 's1', 's2')


def plain(**changes):
    """No photometric change: a strong view is the weak one with boxes pasted."""
    return tiny.config('unimatch', crop=(16, 20), batch=4, views__jitter_probability=0.0, views__blur_probability=0.0,
                       views__grayscale_probability=0.0, method__cutmix__probability=1.0, **changes)


@pytest.mark.parametrize('partner', ['batch', 'self_view', 'independent'])
def test_cutmix_pastes_the_partner_inside_the_box(partner):
    config = plain(method__cutmix__partner=partner)
    batch = tiny.batch(config)
    names = NAMES + (('partner',) if partner != 'batch' else ())
    images, boxes = build_views(names, batch, config, Draws(config.seed, 0), Collectives())
    own = np.asarray(normalize(batch['unlabeled']['image'][:, 0]))
    other = own[[1, 0, 3, 2]] if partner == 'batch' else np.asarray(normalize(batch['unlabeled']['image'][:, 1]))
    for view in ('s1', 's2'):
        box = np.asarray(boxes[view])
        assert box.any() and not box.all()
        np.testing.assert_allclose(images[view], np.where(box[..., None], other, own), atol=1e-4)
    assert (np.asarray(boxes['s1']) != np.asarray(boxes['s2'])).any()
    np.testing.assert_allclose(images['w'], own, atol=1e-6)


def test_targets_are_mixed_with_the_same_box():
    config = plain()
    _, boxes = build_views(NAMES, tiny.batch(config), config, Draws(config.seed, 0), Collectives())
    box = np.asarray(boxes['s1'])
    draw = np.random.default_rng(0)
    fields = lambda: Target(draw.integers(0, 4, box.shape), draw.random(box.shape) < 0.5,
                            draw.random(box.shape) < 0.5, draw.random(box.shape, dtype=np.float32),
                            draw.random(box.shape) < 0.5)
    own, partner = fields(), fields()
    for mixed, a, b in zip(mix_target(boxes['s1'], own, partner), own, partner):
        np.testing.assert_array_equal(mixed, np.where(box, b, a))
    assert mix_target(None, own, partner) is own


def test_a_view_depends_on_its_index_and_step_alone():
    """Under jit with traced seed and step, as in the step."""
    config = tiny.config('unimatch', batch=8)
    batch = tiny.batch(config)
    names = ('s1', 's2', 'w', 'partner')
    draw = jax.jit(lambda batch, seed, step: build_views(names, batch, config, Draws(seed, step), Collectives())[0])
    build = lambda batch, step: draw(batch, np.uint32(0), step)
    images = jax.device_get(build(batch, 3))
    for start, count in ((4, 4), (2, 1)):
        part = jax.device_get(build(jax.tree.map(lambda x: x[start:start + count], batch), 3))
        for view in images:
            np.testing.assert_allclose(part[view], images[view][start:start + count], atol=1e-4)
    assert (build(batch, 4)['s1'] != images['s1']).any()


def test_join_and_split_keep_every_example():
    a, b = np.arange(8)[:, None], 10 + np.arange(4)[:, None]
    for shards in (1, 2, 4):
        collectives = Collectives(shards=shards)
        joined = collectives.join([a, b])
        # Device d holds block d of every array, before and after.
        for d, block in enumerate(np.split(np.asarray(joined), shards)):
            own = [np.split(a, shards)[d], np.split(b, shards)[d]]
            np.testing.assert_array_equal(block, np.concatenate(own))
        first, second = collectives.split(joined, [8, 4])
        np.testing.assert_array_equal(first, a)
        np.testing.assert_array_equal(second, b)


@pytest.mark.parametrize('size', [1, 2, 5, 6])
def test_pairs_are_swapped(size):
    swapped = np.asarray(Collectives().swap_pairs(np.arange(size)))
    expected = [min(i ^ 1, size - 1) for i in range(size)]
    np.testing.assert_array_equal(swapped, expected)
