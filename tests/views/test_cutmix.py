"""CutMix boxes against the plain resampling loop, and pasting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s4mim_jax import views
from s4mim_jax.config import base


def boxes(count, size, seed=0, **settings):
    config = base().method.cutmix
    for name, value in settings.items():
        config[name] = value
    keys = jax.random.split(jax.random.key(seed), count)
    return np.asarray(jax.jit(lambda k: views.cutmix_boxes(k, size, config))(keys))


def extents(masks):
    """(top, left, height, width) of every mask, after checking that each is one full rectangle."""
    rows, columns = masks.any(2), masks.any(1)
    top, left = rows.argmax(1), columns.argmax(1)
    height, width = rows.sum(1), columns.sum(1)
    np.testing.assert_array_equal(masks.sum((1, 2)), height * width)
    assert (rows[:, ::-1].argmax(1) == masks.shape[1] - top - height).all()
    assert (columns[:, ::-1].argmax(1) == masks.shape[2] - left - width).all()
    return np.stack([top, left, height, width], 1)


def resampled(count, size, area=(0.02, 0.4), aspect=(0.3, 1 / 0.3), seed=1):
    """The recipe as a loop: the area is drawn once, aspect and position until the box fits."""
    rng = np.random.default_rng(seed)
    height, width = size
    out = []
    for _ in range(count):
        share = rng.uniform(*area) * height * width
        while True:
            ratio = rng.uniform(*aspect)
            h, w = int((share * ratio) ** 0.5), int((share / ratio) ** 0.5)
            top, left = rng.integers(0, height), rng.integers(0, width)
            if top + h <= height and left + w <= width:
                break
        out.append((top, left, h, w))
    return np.array(out)


@pytest.mark.parametrize('size', [(64, 64), (48, 80)])
def test_boxes_are_distributed_as_the_recipe_resamples_them(size):
    count = 4000
    ours = extents(boxes(count, size, probability=1.0))
    reference = resampled(count, size)
    for column in range(4):
        pooled = np.sort(np.concatenate([ours[:, column], reference[:, column]]))
        cdfs = [np.searchsorted(np.sort(x[:, column]), pooled, side='right') / count
                for x in (ours, reference)]
        # Kolmogorov-Smirnov, two samples of 4000: .036 is exceeded with probability .01.
        assert np.abs(cdfs[0] - cdfs[1]).max() < 0.036, f'column {column} of (top, left, height, width)'
    shares = [x[:, 2] * x[:, 3] / (size[0] * size[1]) for x in (ours, reference)]
    assert abs(shares[0].mean() - shares[1].mean()) < 0.008
    assert 0.014 < shares[0].min() < 0.03 and 0.38 < shares[0].max() <= 0.4


def test_probability():
    hit = boxes(4000, (16, 16)).any(axis=(1, 2))
    assert abs(hit.mean() - 0.5) < 0.032
    assert not boxes(200, (16, 16), probability=0.0).any()
    assert boxes(200, (16, 16), probability=1.0).any(axis=(1, 2)).all()


def test_areas_that_leave_hardly_an_aspect():
    masks = boxes(500, (30, 20), area=(0.9, 1.0), probability=1.0)
    extents(masks)
    assert masks.mean((1, 2)).min() > 0.8


def test_a_box_depends_on_its_key_alone():
    config = base().method.cutmix
    keys = jax.random.split(jax.random.key(4), 8)
    draw = jax.jit(lambda keys: views.cutmix_boxes(keys, (20, 30), config))
    np.testing.assert_array_equal(draw(keys[5:2:-1]), draw(keys)[5:2:-1])


def test_paste_mixes_everything_of_an_image_with_one_box():
    box = jnp.asarray(boxes(3, (12, 10), probability=1.0))
    rng = np.random.default_rng(0)
    pairs = {
        'image': rng.random((2, 3, 12, 10, 3)).astype(np.float32),
        'label': rng.integers(0, 5, (2, 3, 12, 10)).astype(np.int32),
        'confidence': rng.random((2, 3, 12, 10)).astype(np.float32),
        'valid': rng.random((2, 3, 12, 10)) < 0.5,
    }
    inside = np.asarray(box)
    for name, (ours, partner) in pairs.items():
        mixed = np.asarray(views.paste(box, jnp.asarray(ours), jnp.asarray(partner)))
        assert mixed.dtype == ours.dtype and mixed.shape == ours.shape
        np.testing.assert_array_equal(mixed[inside], partner[inside], err_msg=name)
        np.testing.assert_array_equal(mixed[~inside], ours[~inside], err_msg=name)
