"""How views and targets of a batch are put together: partners, boxes, independence of the layout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from pixel_model import PixelModel, compose, random_variables

from s4mim_jax.parallel import Collectives
from s4mim_jax.pseudo_labels import Maps, Target, nearest, select
from s4mim_jax.views import normalize
from s4mim_jax.views.build import build_views, mix_target
from s4mim_jax.views.randomness import StepRandomness

NAMES = ('x', 'w', 's1', 's2')


def plain(method='unimatch', **changes):
    """No photometric change: a strong view is the weak one with boxes pasted."""
    return tiny.config(method, crop=(16, 20), batch=4, views__jitter_probability=0.0, views__blur_probability=0.0,
                       views__grayscale_probability=0.0, method__cutmix__probability=1.0, **changes)


@pytest.mark.parametrize('partner', ['batch', 'self_view', 'independent'])
def test_cutmix_pastes_the_partner_inside_the_box(partner):
    config = plain(method__cutmix__partner=partner)
    batch = tiny.batch(config)
    names = NAMES + (('partner',) if partner != 'batch' else ())
    images, boxes = build_views(names, batch, config, StepRandomness(config.seed, 0), Collectives())
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
    _, boxes = build_views(NAMES, tiny.batch(config), config, StepRandomness(config.seed, 0), Collectives())
    box = np.asarray(boxes['s1'])
    draw = np.random.default_rng(0)
    fields = lambda: Target(draw.integers(0, 4, box.shape), draw.random(box.shape) < 0.5,
                            draw.random(box.shape) < 0.5, draw.random(box.shape, dtype=np.float32),
                            draw.random(box.shape) < 0.5)
    own, partner = fields(), fields()
    for mixed, a, b in zip(mix_target(boxes['s1'], own, partner), own, partner):
        np.testing.assert_array_equal(mixed, np.where(box, b, a))
    assert mix_target(None, own, partner) is own


def weak_maps(config, batch, variables, teacher):
    """The teacher's maps of `w`, and its CutMix partner's with their validity, without a forward."""
    images = [normalize(jnp.asarray(batch['unlabeled']['image'][:, slot]))
              for slot in range(batch['unlabeled']['image'].shape[1])]
    valid = np.moveaxis(batch['unlabeled']['valid'], 1, 0)
    if config.method.teacher.kind == 'self':  # what the student says of cat(x, w) in training mode
        joined = jnp.concatenate([normalize(jnp.asarray(batch['labeled']['image'])), images[0]])
        seen = PixelModel().apply(variables, joined, train=True)
        seen = [jax.tree.map(lambda a: a[len(images[0]):], (seen.logits, seen.coarse))]
    else:
        seen = [(o.logits, o.coarse) for o in (PixelModel().apply(teacher, image) for image in images)]
    maps = [Maps(jax.nn.softmax(logits), jax.nn.softmax(coarse), jax.nn.softmax(logits)) for logits, coarse in seen]
    pairs = list(zip(maps, valid))
    if len(pairs) == 1:
        pairs.append(jax.tree.map(lambda a: a[np.array([1, 0, 3, 2])], pairs[0]))
    return pairs


@pytest.mark.parametrize('kind, partner, threshold', [('self', 'batch', 'partition'), ('ema', 'independent', 'margin')])
def test_maps_are_refined_before_they_are_pasted(kind, partner, threshold, monkeypatch):
    """Inside the box what is kept of the partner by itself, outside of the image by itself: no seam is seen."""
    config = plain('s4mc', method__cutmix__partner=partner, method__teacher__kind=kind)
    config.method.selection.update(threshold=threshold, tau_margin=0.3)
    batch, variables, teacher = tiny.batch(config), random_variables(0), random_variables(1)
    target = jax.device_get(compose(monkeypatch, config, variables, teacher, batch).targets['s1'])
    _, boxes = build_views(('s1',), batch, config, StepRandomness(config.seed, 0), Collectives())
    box = np.asarray(boxes['s1'])
    choose = lambda maps, valid: jax.device_get(select(maps, jnp.asarray(valid), config.method))
    (own_maps, own_valid), (partner_maps, partner_valid) = weak_maps(config, batch, variables, teacher)
    own, other = choose(own_maps, own_valid), choose(partner_maps, partner_valid)
    for field in ('label', 'kept', 'valid', 'unrefined'):
        mixed = np.where(box, getattr(other, field), getattr(own, field))
        np.testing.assert_array_equal(getattr(target, field), mixed, err_msg=field)

    def pasted(base, there):
        inside = nearest(boxes['s1'], base.shape[1:3])
        return jnp.where(inside.reshape(inside.shape + (1,) * (base.ndim - 3)), there, base)

    late = choose(jax.tree.map(pasted, own_maps, partner_maps), np.where(box, partner_valid, own_valid))
    np.testing.assert_array_equal(late.label, target.label)  # labels are raw: only the filter sees a seam
    assert (late.kept != target.kept).any() and target.kept.any() and not target.kept.all()


def test_a_view_depends_on_its_index_and_step_alone():
    """Under jit with traced seed and step, as in the step."""
    config = tiny.config('unimatch', batch=8)
    batch = tiny.batch(config)
    names = ('s1', 's2', 'w', 'partner')
    draw = jax.jit(lambda batch, seed, step: build_views(names, batch, config, StepRandomness(seed, step),
                                                         Collectives())[0])
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
