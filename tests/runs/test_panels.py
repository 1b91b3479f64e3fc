"""Pictures of what training sees, by content: columns, colours, what is striped and what is reconstructed."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from s4mim_jax.runs import panels
from s4mim_jax.terms import class_wise_mim
from s4mim_jax.views import MEAN, STD, normalize
from s4mim_jax.views.masked import Masked

DRAW = np.random.default_rng(0)
COUNT, H, W = 2, 3, 4
PALETTE = np.array([[10, 20, 30], [200, 0, 0], [0, 200, 0]], np.uint8)
COLOR = {0: (10, 20, 30), 1: (200, 0, 0), 2: (0, 200, 0), 255: panels.VOID}


def painted(classes, kept=None):
    out = np.zeros((COUNT, H, W, 3), np.uint8)
    for place in np.ndindex(COUNT, H, W):
        stripe = panels.STRIPES[(place[1] + place[2]) // 3 % 2]
        out[place] = COLOR[int(classes[place])] if kept is None or kept[place] else stripe
    return out


def hand_made():
    """Everything that may be seen, each picture different from all others."""
    seen = {name: DRAW.integers(0, 256, (COUNT, H, W, 3), dtype=np.uint8)
            for name in ('x', 'w', 's1', 'x_masked', 'w_masked', 's1_masked', 'x_masked_pixels', 'w_masked_pixels')}
    predictions = [f'{view}_masked_prediction' for view in ('x', 'w', 's1')]
    for name in ('x_label', 'x_prediction', 'w_label', 's1_label', *predictions):
        seen[name] = DRAW.choice([0, 1, 2, 255], (COUNT, H, W))
    for name in ('w_kept', 'w_unrefined', 's1_kept'):
        seen[name] = DRAW.random((COUNT, H, W)) < 0.5
    return seen


def columns(picture, number):
    """[H', W', 3] with gaps of two white pixels -> `number` columns [N, H, W, 3]."""
    assert picture.dtype == np.uint8 and picture.shape == (panels.TITLE + COUNT * (H + 2), number * (W + 2), 3)
    titles = picture[:panels.TITLE].reshape(panels.TITLE, number, W + 2, 3)
    assert (titles[:, :, :W] < 128).any((0, 2, 3)).all() and (titles[:, :, W:] == 255).all()
    cells = picture[panels.TITLE:].reshape(COUNT, H + 2, number, W + 2, 3)
    assert (cells[:, H:] == 255).all() and (cells[:, :, :, W:] == 255).all()
    return cells[:, :H, :, :W].swapaxes(0, 2).swapaxes(1, 2)


def test_columns_in_their_order_and_stripes_where_nothing_is_kept():
    seen = hand_made()
    mark = lambda view, kept: painted(seen[f'{view}_label'], seen[kept])
    expected = {
        'labeled': [seen['x'], painted(seen['x_label']), painted(seen['x_prediction'])],
        'unlabeled': [seen['w'], painted(seen['w_label']), mark('w', 'w_unrefined'), mark('w', 'w_kept'), seen['s1'],
                      mark('s1', 's1_kept')],
        # The strong view's copy is not reconstructed here.
        'masked': [seen['x_masked'], painted(seen['x_masked_prediction']), seen['x_masked_pixels'],
                   seen['w_masked'], painted(seen['w_masked_prediction']), seen['w_masked_pixels'],
                   seen['s1_masked'], painted(seen['s1_masked_prediction'])]}
    drawn = panels.draw(seen, PALETTE)
    assert list(drawn) == list(expected)
    for name, wanted in expected.items():
        for number, (column, picture) in enumerate(zip(columns(drawn[name], len(wanted)), wanted, strict=True)):
            np.testing.assert_array_equal(column, picture, err_msg=f'{name}, column {number}')


def test_only_what_there_is_is_drawn():
    seen = hand_made()
    supervised = {name: seen[name] for name in ('x', 'x_label', 'x_prediction')}
    assert list(panels.draw(supervised, PALETTE)) == ['labeled']
    weak = panels.draw({name: seen[name] for name in ('w', 'w_label', 'w_kept')}, PALETTE)
    assert list(weak) == ['unlabeled']
    np.testing.assert_array_equal(columns(weak['unlabeled'], 3)[2], painted(seen['w_label'], seen['w_kept']))


def forward(**changes):
    """Two images of 20 x 24 pixels: a size that squares of 16 do not divide."""
    config = tiny.config('s4mim', **changes)
    image = DRAW.integers(0, 256, (2, 20, 24, 3)).astype(np.uint8)
    visible = DRAW.random((2, 20, 24)) < 0.5
    whole = normalize(jnp.asarray(image))
    masked = Masked(jnp.where(visible[..., None], whole, 0.0), jnp.asarray(visible), None)
    views = {'w': whole * 0 + 9.0, 'w_photometric': whole}
    return config, image, SimpleNamespace(
        images=views, label=None, targets={}, method=config.method, masked={'w_masked': masked},
        logits={'w_masked': jnp.asarray(DRAW.normal(size=(2, 20, 24, 5)), jnp.float32)},
        reconstructed={'w_masked': jnp.asarray(DRAW.normal(size=image.shape), jnp.float32)})


def as_bytes(normalized):
    return np.clip(np.round((np.asarray(normalized, np.float64) * STD + np.array(MEAN)) * 255), 0, 255)


@pytest.mark.parametrize('patch_norm', [False, True])
def test_the_reconstruction_is_put_where_pixels_are_hidden_and_nowhere_else(patch_norm, monkeypatch):
    monkeypatch.setattr(class_wise_mim, 'reconstructed', lambda forward: forward.reconstructed)
    config, image, s = forward(method__masks__w_photometric=True, method__mim__patch_norm=patch_norm)
    decoded = np.asarray(s.reconstructed['w_masked'], np.float64)
    if patch_norm:  # the decoder speaks of squares of mean 0 and deviation 1
        whole = np.asarray(s.images['w_photometric'], np.float64)
        for b, top, left in np.ndindex(2, 2, 2):
            # A square that is cut off goes on with its last row and column.
            rows, across = (np.minimum(np.arange(n, n + 16), side - 1) for n, side in ((16 * top, 20), (16 * left, 24)))
            square = whole[b][rows][:, across]
            own = np.s_[b, 16 * top:16 * top + 16, 16 * left:16 * left + 16]
            decoded[own] = decoded[own] * square.std((0, 1)) + square.mean((0, 1))
    seen = panels.pictures(s, config.data, 1)
    visible = np.asarray(s.masked['w_masked'].visible)[:1, :, :, None]
    assert seen['w_masked_pixels'].shape == (1, 20, 24, 3) and seen['w_masked_pixels'].dtype == np.uint8
    expected = np.where(visible, image[:1], as_bytes(decoded)[:1])
    assert np.abs(np.asarray(seen['w_masked_pixels'], float) - expected).max() <= 1  # rounding
    # What is hidden is the mean colour in the copy itself.
    hole = np.asarray(seen['w_masked'])[~visible[..., 0]]
    assert np.abs(hole - as_bytes(np.zeros(3))).max() <= 1
    np.testing.assert_array_equal(seen['w_masked_prediction'], np.argmax(s.logits['w_masked'], -1)[:1])
