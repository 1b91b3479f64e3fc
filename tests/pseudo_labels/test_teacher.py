"""The teacher: whose weights it has, in which mode and at which scales it looks, and that nothing is learnt from it."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from pixel_model import PixelModel, compose, random_variables
from plain_s4mc import bilinear

from s4mim_jax import terms
from s4mim_jax.evaluation.evaluator import describe
from s4mim_jax.evaluation.inference import class_values, protocol_from
from s4mim_jax.parallel import Collectives
from s4mim_jax.pseudo_labels import ensemble, snapped
from s4mim_jax.training.forward import _teacher_maps
from s4mim_jax.training.passes import passes_of
from s4mim_jax.views import normalize

DRAW = np.random.default_rng(0)
STUDENT, TEACHER = random_variables(1), random_variables(2)
SIZE = (32, 48)  # of all images: each further one would be compiled for


def config_of(method, **changes):
    return tiny.config(method, SIZE, batch=2, **dict(method__cutmix__probability=0.0) | changes)


def softmax(x):
    e = np.exp(x - np.max(x, -1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize('size,scale,stride,align,expected', [
    ((321, 321), 0.75, 16, True, (241, 241)), ((321, 321), 1.25, 16, True, (401, 401)),
    ((128, 160), 0.75, 16, False, (96, 128)), ((128, 160), 1.25, 16, False, (160, 208)),
    ((518, 518), 0.75, 14, False, (392, 392)), ((16, 16), 0.25, 16, False, (16, 16)),
    ((100, 90), 1.0, 16, False, (100, 90))])
def test_scales_are_snapped_to_the_grid(size, scale, stride, align, expected):
    assert snapped(size, scale, stride, align) == expected

def two_maps(x):
    """Four scores of each pixel, and those of every fourth pixel."""
    logits = jnp.concatenate([x, 2 * x[..., :1]], -1)
    return SimpleNamespace(logits=logits, coarse=logits[:, ::4, ::4])


def mean_over_sizes(outputs, images, sizes, align):
    """(full, coarse) in NumPy; the first size is the images' own."""
    seen = [outputs(jnp.asarray(bilinear(images, size, align), jnp.float32)) for size in sizes]
    at = images.shape[1:3], seen[0].coarse.shape[1:3]
    return [np.mean([bilinear(softmax(np.asarray(m)), size, align) for m in maps], 0)
            for size, maps in zip(at, ([s.logits for s in seen], [s.coarse for s in seen]))]


@pytest.mark.parametrize('align, sizes', [(False, [(32, 48), (16, 32), (48, 80)]),  # 24 is half way between 16 and 32
                                          (True, [(33, 49), (17, 17), (49, 81)])])
def test_ensemble_is_the_mean_softmax_over_scales(align, sizes):
    images = DRAW.normal(size=(2, *sizes[0], 3)).astype(np.float32)
    seen = []

    def outputs(x):
        seen.append(x.shape[1:3])
        return two_maps(x)

    maps = ensemble(outputs, jnp.asarray(images), (0.5, 1.0, 1.5), 16, align)
    assert sorted(seen) == sorted(sizes)
    full, coarse = mean_over_sizes(two_maps, images, sizes, align)
    np.testing.assert_allclose(maps.full, full, atol=1e-5)
    np.testing.assert_allclose(maps.coarse, coarse, atol=1e-5)
    np.testing.assert_allclose(maps.single, softmax(two_maps(images).logits), atol=1e-6)
    assert np.abs(coarse - softmax(two_maps(images).coarse)).max() > 0.1  # unlike scale 1 alone


def test_one_scale_is_no_ensemble_and_a_map_of_ones_own_saves_the_pass():
    images = jnp.asarray(DRAW.normal(size=(2, *SIZE, 3)), jnp.float32)
    one = ensemble(two_maps, images, (1.0,), 16, False)
    np.testing.assert_array_equal(one.full, one.single)
    own = SimpleNamespace(logits=jnp.zeros((2, 32, 48, 4)), coarse=jnp.zeros((2, 8, 12, 4)))
    np.testing.assert_allclose(ensemble(None, images, (1.0,), 16, False, own).full, 0.25)


def taught(config, teacher, images):
    return _teacher_maps(PixelModel(), config, passes_of(config.method), STUDENT, teacher, images, None, Collectives())


def test_the_average_looks_in_evaluation_mode_with_its_own_weights():
    config = config_of('fixmatch_ema', method__cutmix__partner='independent', method__cutmix__probability=1.0)
    images = {view: jnp.asarray(DRAW.normal(size=(2, *SIZE, 3)) + 1, jnp.float32) for view in ('w', 'partner')}
    maps = taught(config, TEACHER, images)
    assert set(maps) == {'w', 'partner'}
    for view, image in images.items():
        look = lambda variables, **mode: softmax(np.asarray(PixelModel().apply(variables, image, **mode).logits))
        np.testing.assert_allclose(maps[view].full, look(TEACHER, train=False), atol=1e-6)
        for other in (look(TEACHER, train=True), look(STUDENT, train=False)):
            assert np.abs(maps[view].full - other).max() > 0.05


def test_scales_of_the_config_reach_the_maps_of_a_scene(monkeypatch):
    config = config_of('fixmatch_ema', method__teacher__scales=(0.5, 1.0, 1.5))
    batch = tiny.batch(config)
    weak = np.asarray(normalize(batch['unlabeled']['image'][:, 0]))
    outputs = lambda x: PixelModel().apply(TEACHER, x)
    full, coarse = mean_over_sizes(outputs, weak, [(32, 48), (16, 32), (48, 80)], False)
    maps = taught(config, TEACHER, {'w': jnp.asarray(weak)})['w']
    np.testing.assert_allclose(maps.full, full, atol=1e-5)
    np.testing.assert_allclose(maps.coarse, coarse, atol=1e-5)

    target = compose(monkeypatch, config, STUDENT, TEACHER, batch).targets['w']
    np.testing.assert_allclose(target.confidence, full.max(-1), atol=1e-5)
    alone = softmax(np.asarray(outputs(jnp.asarray(weak)).logits))
    assert np.abs(target.confidence - alone.max(-1)).max() > 0.05
    first, second = np.sort(full, -1)[..., -1], np.sort(full, -1)[..., -2]
    clear = first - second > 1e-4
    np.testing.assert_array_equal(np.asarray(target.label)[clear], full.argmax(-1)[clear])


@pytest.mark.parametrize('method', ['fixmatch', 'fixmatch_ema'])
def test_nothing_is_learnt_through_the_teacher(method, monkeypatch):
    """Exactly no gradient in the average, and none in a student that teaches itself, through what is told."""
    config = config_of(method)
    batch = tiny.batch(config)

    def total(part, params, teacher):
        forward = compose(monkeypatch, config, {**STUDENT, 'params': params}, teacher, batch)
        told = sum(jnp.sum(target.confidence) for target in forward.targets.values())
        return told if part == 'told' else terms.TERMS['consistency'].loss(forward)[0].total

    largest = lambda tree: max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
    student, average = jax.grad(total, (1, 2))('loss', STUDENT['params'], TEACHER)
    assert largest(student) > 1e-3 and largest(average) == 0.0
    assert largest(jax.grad(total, (1, 2))('told', STUDENT['params'], TEACHER)) == 0.0


def test_the_maps_of_the_average_have_no_gradient():
    """They are cut off before anything is selected, too."""
    images = {'w': jnp.asarray(DRAW.normal(size=(2, *SIZE, 3)), jnp.float32)}
    config = config_of('fixmatch_ema')
    total = lambda teacher: sum(jnp.sum(field ** 2) for field in taught(config, teacher, images)['w'])
    assert all(not np.asarray(leaf).any() for leaf in jax.tree.leaves(jax.grad(total)(TEACHER)))


def test_evaluation_of_a_run_with_an_ensemble_looks_once():
    """The teacher's scales belong to training; evaluation has `eval.scales`."""
    config = tiny.config('maskmatch', crop=(32, 32))
    assert len(config.method.teacher.scales) == 3
    protocol, seen = protocol_from(config), []

    def network(variables, images):
        seen.append(images.shape)
        return images

    class_values(network, {}, jnp.zeros((2, 32, 48, 3), jnp.uint8), protocol)
    assert protocol.scales == (1.0,) and describe(config)['scales'] == [1.0] and seen == [(2, 32, 48, 3)]
