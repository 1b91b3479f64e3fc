"""Images of many sizes are seen by few programs, with the results of images alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import folder
from s4mim_jax.config import base
from s4mim_jax.config.encoder_sizes import takes_padding
from s4mim_jax.data.files.pixel_format import PixelFormat
from s4mim_jax.data.shape_buckets import FEW, SHAPES, ShapeBuckets, bucket_shapes, pixels
from s4mim_jax.evaluation.evaluator import evaluate
from s4mim_jax.evaluation.inference import Protocol
from s4mim_jax.models import extent
from s4mim_jax.models.conv import convolve
from s4mim_jax.models.resize import resize_bilinear
from s4mim_jax.prediction.loading import networks
from s4mim_jax.prediction.predictor import Predictor, Settings

COMPILED = '/jax/core/compile/backend_compile_duration'


def sizes(count, low=100, high=1000, seed=0):
    return [tuple(map(int, pair)) for pair in np.random.default_rng(seed).integers(low, high, (count, 2))]


def holds(shape, size):
    return all(n <= m for n, m in zip(size, shape))


def test_a_hundred_sizes_need_few_shapes_and_little_more_work():
    found = bucket_shapes(sizes(100))
    assert len(set(found.values())) <= SHAPES
    assert all(holds(shape, size) for size, shape in found.items())
    assert sum(map(pixels, found.values())) < 1.7 * sum(map(pixels, found))
    assert bucket_shapes(sizes(100)[::-1]) == found  # whatever the order


def test_few_sizes_stay_as_they_are_and_a_rare_one_costs_no_program():
    assert bucket_shapes([(10, 20)] * 5 + [(30, 40), (50, 60)]) == {s: s for s in ((10, 20), (30, 40), (50, 60))}
    many = [(300, 400)] * 500 + [(400, 300)] * 500 + [(290, 400), (400, 290)]
    found = bucket_shapes(many)
    assert found[290, 400] == found[300, 400] == (300, 400) and found[400, 290] == (400, 300)


def test_shapes_of_several_pairs_hold_each_of_them():
    vectors = [(64, 64, *own) for own in sizes(50)]
    found = bucket_shapes(vectors)
    assert {shape[:2] for shape in found.values()} == {(64, 64)} and len(set(found.values())) <= SHAPES
    assert all(holds(shape, size) for size, shape in found.items())


@pytest.mark.parametrize('order', ['as drawn', 'growing', 'shrinking'])
def test_sizes_that_come_one_by_one_need_few_shapes_too(order):
    drawn = sizes(200, seed=1)
    if order != 'as drawn':
        drawn.sort(key=pixels, reverse=order == 'shrinking')
    shapes = ShapeBuckets()
    given = {size: shapes.shape(size) for size in drawn}
    assert all(holds(shape, size) for size, shape in given.items()) and len(shapes) <= SHAPES + (order == 'growing')
    assert all(shapes.shape(size) == shape for size, shape in given.items())
    assert [ShapeBuckets().shape(size) for size in drawn[:FEW]] == drawn[:FEW]


def test_what_was_expected_is_planned_once_for_all():
    shapes, drawn = ShapeBuckets(), sizes(100)
    shapes.expect(drawn)
    planned = {size: shapes.shape(size) for size in drawn}
    assert planned == bucket_shapes(drawn) and len(shapes) <= SHAPES
    shapes.expect(drawn[:3] + sizes(20, seed=5))
    assert {size: shapes.shape(size) for size in drawn} == planned and len(shapes) <= SHAPES + 1


def test_only_networks_that_were_looked_at_take_padding():
    config = base()
    assert takes_padding(config.model)
    config.model.update(encoder='dinov2_vits14', decoder='dpt')
    assert not takes_padding(config.model)
    config.model.decoder = 'deeplabv3plus'
    assert not takes_padding(config.model)


KERNELS = tuple(jnp.asarray(np.random.default_rng(7).normal(size=shape), jnp.float32)
                for shape in ((3, 3, 3, 6), (3, 3, 6, 6), (1, 1, 12, 4)))


def network(variables, images):
    """Stride 2, a bias that moves zeros, an average over the image, and back: what can go wrong at a border."""
    first, second, last = variables
    x = jnp.maximum(convolve(images, first, stride=2) + 0.7, 0)
    y = convolve(x, second, stride=2, padding='same') - 0.3
    y = resize_bilinear(y + extent.mean(y), x.shape[1:3], True)
    return resize_bilinear(convolve(jnp.concatenate([x, y], -1), last), images.shape[1:3], True)


def predictor(padding, protocol=Protocol('whole', (32, 32), True), config=None):
    settings = Settings(None, 1, 4, PixelFormat(3, None), protocol)
    return Predictor(networks(network, KERNELS, settings, padding), settings, 'abcd', np.zeros((4, 3)), 1, 'student',
                     config)


@pytest.fixture
def compiled():
    """Programs compiled so far, by a list that grows."""
    seen, listening = [], [True]
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **more: seen.append(name) if listening[0] and name == COMPILED else None)
    yield seen
    listening[0] = False


@pytest.mark.parametrize('one_by_one', [False, True])
def test_a_hundred_images_compile_eight_programs_at_most(compiled, one_by_one):
    draw = np.random.default_rng(3)
    images = [draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes(100, 8, 50, seed=4)]
    ours = predictor(True)
    found = [ours.predict([image], True)[0] for image in images] if one_by_one else ours.predict(images, True)
    assert 0 < len(compiled) <= 8
    exact = predictor(False)
    for image, (ids, confidence) in list(zip(images, found))[::40]:
        expected, certain = exact.predict([image], True)[0]
        assert ids.shape == image.shape[:2]
        np.testing.assert_allclose(confidence, certain, atol=2e-4)
        assert np.mean(ids == expected) > 0.999  # a tie may fall the other way


def test_images_of_one_size_share_batches_as_before(compiled):
    images = np.zeros((4, 24, 30, 3), np.uint8)
    ours = predictor(True)
    ours(images)
    before = len(compiled)
    ours(images)
    assert len(compiled) == before <= 2 and ours._network.padded.func._cache_size() == 0


def test_sliding_works_off_windows_where_sizes_are_many(compiled):
    draw = np.random.default_rng(3)
    images = [draw.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes(6, 20, 40, seed=4)]
    protocol = Protocol('sliding', (16, 16), True)
    found = predictor(True, protocol)(images)
    assert len(compiled) == 1
    exact = predictor(True, protocol)
    for image, ids in list(zip(images, found))[::3]:
        assert np.mean(exact([image])[0] == ids) > 0.999


def test_what_keeps_sizes_apart_is_said():
    from s4mim_jax.config.keys import base as keys
    config = keys()
    config.model.encoder = 'dinov2_vits14'
    ours = predictor(False, config=config)
    assert ours.expect(sizes(3)) is None
    assert 'dinov2_vits14' in ours.expect(sizes(9)) and '9 sizes' in ours.expect(())
    assert 'scales' in predictor(True, Protocol('whole', (1, 1), True, flip=True)).expect(sizes(9))
    assert 'exported' in predictor(False, config=None).expect(sizes(9))
    assert predictor(True).expect(sizes(9)) is None


def test_evaluation_counts_what_it_counts_without_padding():
    config, draw = folder.get_config('supervised'), np.random.default_rng(9)
    config.model.align_corners = True
    drawn = sizes(3, 20, 50, seed=2)
    size, canvas = tuple(np.max(drawn, axis=0)), (64, 64)
    alone, together = [], []
    for own in drawn:
        image = draw.integers(0, 256, (1, *own, 3), dtype=np.uint8)
        label = draw.integers(0, 4, (1, *own), dtype=np.uint8)
        scored = np.full((1, *canvas), 255, np.uint8)
        scored[:, :own[0], :own[1]] = label
        rest = {'label': scored, 'size': np.array([own], np.int32), 'valid': np.array([True])}
        held = np.full((1, *size, 3), 99, np.uint8)
        held[:, :own[0], :own[1]] = image
        alone.append({'image': image, **rest})
        together.append({'image': held, 'seen': np.array([own], np.int32), **rest})
    filled = {name: np.concatenate([batch[name] for batch in together]) for name in together[0]}
    expected = evaluate(network, KERNELS, alone, config, 'abcd')
    found = evaluate(network, KERNELS, [filled], config, 'abcd')
    assert found['images'] == expected['images'] == 3 and 0 < found['miou'] < 1
    assert found['pixel_accuracy'] == pytest.approx(expected['pixel_accuracy'], abs=1e-3)
    assert found['miou'] == pytest.approx(expected['miou'], abs=1e-3)
