"""Boundary IoU against erosions by scipy, class by class and image by image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from s4mim_jax import evaluation
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.evaluation.boundary import band, boundary_confusion

IGNORE = 255


def blobs(count, size, classes, seed, ignored=0.05):
    draw = np.random.default_rng(seed)
    maps = np.stack([ndimage.zoom(draw.integers(0, classes, (4, 5)), (size[0] / 4, size[1] / 5), order=0)
                     for _ in range(count)])
    maps[draw.random(maps.shape) < ignored] = IGNORE
    return maps.astype(np.uint8)


def eroded_band(mask, radius):
    """The pixels of a mask that `radius` erosions with a 3x3 square take away; outside the image there is no mask."""
    kept = ndimage.binary_erosion(np.pad(mask, 1), np.ones((3, 3), bool), iterations=radius)[1:-1, 1:-1]
    return mask & ~kept


@pytest.mark.parametrize('radius', [1, 2, 5])
def test_bands_are_what_erosions_take_away(radius):
    maps, own = blobs(3, (40, 50), 4, seed=0), np.array([[40, 50], [31, 50], [17, 23]], np.int32)
    found = np.asarray(jax.jit(band)(jnp.asarray(maps, jnp.int32), own, jnp.full(3, radius)))
    for image, (height, width), marks in zip(maps, own, found):
        image = image[:height, :width]
        expected = np.zeros(image.shape, bool)
        for value in np.unique(image):
            expected |= eroded_band(image == value, radius)
        np.testing.assert_array_equal(marks[:height, :width], expected)
    assert 0.2 < found[0].mean()


def test_counts_give_the_papers_boundary_iou():
    classes, share = 4, 0.04
    labels, predictions = blobs(3, (40, 50), classes, 1), blobs(3, (40, 50), classes, 2, ignored=0)
    predictions[0] = np.where(labels[0] == IGNORE, 0, labels[0])  # one image that is right
    own = np.array([[40, 50], [40, 50], [30, 44]], np.int32)
    for image, (height, width) in zip(labels, own):
        image[height:], image[:, width:] = IGNORE, IGNORE
    counts = np.asarray(boundary_confusion(labels, predictions, own, classes, share, IGNORE))
    found = evaluation.scores(counts, ['a', 'b', 'c', 'd', 'none'])['iou']
    for value, name in enumerate('abcd'):
        both = either = 0
        for label, prediction, (height, width) in zip(labels, predictions, own):
            label, prediction = label[:height, :width], prediction[:height, :width]
            radius = max(round(share * np.hypot(height, width)), 1)
            truth = eroded_band(label == value, radius)
            guess = eroded_band((prediction == value) & (label != IGNORE), radius)
            both, either = both + np.sum(truth & guess), either + np.sum(truth | guess)
        assert found[name] == pytest.approx(both / either, abs=1e-12)
    assert 0.05 < min(found[name] for name in 'abcd') < max(found[name] for name in 'abcd') < 0.95


def test_the_evaluator_reports_it_and_counts_every_image_once():
    config = base()
    config.eval.boundary = 0.1
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 20, 3), dtype=np.uint8)
    labels = np.argmax(images, -1).astype(np.uint8)
    batch = lambda part: {'image': images[part], 'label': labels[part],
                          'size': np.full((len(labels[part]), 2), (16, 20)),
                          'valid': np.ones(len(labels[part]), bool)}
    network = lambda variables, x: 10 * x * jnp.asarray([0.229, 0.224, 0.225]) + 10 * jnp.asarray([0.485, 0.456, 0.406])
    run = lambda parts: evaluation.evaluate(network, {}, map(batch, parts), config, ('r', 'g', 'b'))
    result = run([slice(0, 2), slice(2, 3)])
    assert result['boundary_miou'] == result['miou'] == 1.0  # the logits are the pixels whose argmax is the label
    assert result['protocol']['boundary'] == 0.1 and list(result['boundary_iou']) == ['r', 'g', 'b']
    assert 'boundary IoU' in evaluation.format_table(result)
    config.eval.boundary = 0.0
    assert 'boundary_miou' not in run([slice(0, 3)])
    labels[0, :8] = 0
    config.eval.boundary = 0.1
    worse = run([slice(0, 3)])
    assert worse['boundary_miou'] < 1 and worse == {**run([slice(0, 1), slice(1, 3)])}


def test_a_share_that_is_none_is_refused():
    config = base()
    config.eval.boundary = 1.5
    with pytest.raises(InputError, match='eval.boundary=1.5'):
        validate(config)
