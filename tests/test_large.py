"""Images of long sides and many pixels: exact positions, bounded memory, and a word about it."""

import numpy as np
import pytest

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.files.pixel_format import PLAIN
from s4mim_jax.evaluation.inference import Protocol
from s4mim_jax.evaluation.own_size import decide
from s4mim_jax.evaluation.tiled import predict_tiled
from s4mim_jax.models.resize import LONGEST, interpolation_taps
from s4mim_jax.prediction.large import WHOLE_BYTES, WINDOW, estimated_bytes, windowed
from s4mim_jax.prediction.predictor import Network, Predictor, Settings

LENGTHS = [(40000, 40000), (10000, 40000), (40000, 10000), (65535, 65535), (3, 65535), (65535, 3), (1, 7), (7, 1),
           (33, 50), (LONGEST - 1, LONGEST - 1), (1000, LONGEST - 1), (LONGEST - 1, 5)]


@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('source, target', LENGTHS)
def test_positions_are_exact(source, target, align_corners):
    """Against integers without end."""
    index = np.unique(np.concatenate([np.arange(min(target, 500)), np.arange(max(target - 500, 0), target),
                                      np.random.default_rng(0).integers(0, target, 500)]))
    if align_corners:
        numerator, denominator = [int(i) * (source - 1) for i in index], max(target - 1, 1)
    else:
        numerator, denominator = [max((2 * int(i) + 1) * source - target, 0) for i in index], 2 * target
    low, high, weight = map(np.asarray, interpolation_taps(index.astype(np.int32), source, np.int32(target),
                                                           align_corners))
    expected = [min(n // denominator, source - 1) for n in numerator]
    assert low.tolist() == expected and high.tolist() == [min(e + 1, source - 1) for e in expected]
    np.testing.assert_allclose(weight, [n % denominator / denominator for n in numerator], atol=1e-6)


@pytest.mark.parametrize('align_corners', [True, False])
def test_a_side_of_50000_pixels_is_right_to_the_last(align_corners):
    """Also where the answer is larger than what the network saw, and across rows."""
    import jax.numpy as jnp
    n, step = 50000, 5
    seen = np.zeros((1, 2, n // step, 2), np.float32)
    seen[..., 1] = np.arange(n // step) >= 9000  # the last tenth
    ids = np.asarray(decide(jnp.asarray(seen), jnp.array([[2, n]], jnp.int32), (2, n), align_corners)[0])[0]
    first = int(np.argmax(ids[0]))
    assert abs(first - 45000) <= step and (ids[:, first:] == 1).all() and (ids[:, :first] == 0).all()
    tall = seen.transpose(0, 2, 1, 3)
    ids = np.asarray(decide(jnp.asarray(tall), jnp.array([[n, 2]], jnp.int32), (n, 2), align_corners)[0])[0]
    assert int(np.argmax(ids[:, 0])) == first and (ids[first:] == 1).all()


def test_sliding_over_a_long_side():
    image = np.zeros((4, 40000, 3), np.uint8)
    image[:, 30000:] = 255
    look = lambda windows: np.stack([1.0 - (windows[..., 0] > 127), windows[..., 0] > 127], -1).astype(np.float32)
    ids, _ = predict_tiled(look, image, (4, 40000), Protocol('sliding', (4, 4096), False), 2)
    assert (ids[:, :30000] == 0).all() and (ids[:, 30000:] == 1).all()


def test_which_sizes_are_cut():
    whole = Protocol('whole', (320, 320), False, multiple=16)
    for size, classes in (((1024, 2048), 19), ((2448, 2448), 7), ((512, 683), 150)):
        assert windowed(whole, size, classes) is None
    for size, classes, patch in (((4000, 6000), 21, None), ((64, 40000), 2, None), ((2100, 2100), 21, 14)):
        cut = windowed(whole, size, classes, patch)
        assert cut.mode == 'sliding' and all(w % 16 == 0 and w <= WINDOW for w in cut.window)
        assert estimated_bytes(cut.window, classes, patch) < WHOLE_BYTES
    assert windowed(whole, (64, 40000), 2).window == (64, WINDOW)


class Config:
    class model:
        encoder = 'resnet50'


def predictor(config, **protocol):
    """A network that says 1 where an image is bright, and what sizes it has seen."""
    seen = []

    def probabilities(images):
        seen.append(images.shape[1:3])
        bright = np.asarray(images[..., 0] > 127, np.float32)
        return np.stack([1 - bright, bright], -1)

    settings = Settings(None, 1, 2, PLAIN,
                        Protocol('whole', (32, 32), False, **protocol))
    return Predictor(Network(probabilities, probabilities), settings, ('dark', 'bright'), np.zeros((2, 3)), 0,
                     'student', config), seen


def test_a_long_image_under_whole_is_cut_and_right():
    model, seen = predictor(Config)
    image = np.zeros((24, 30000, 3), np.uint8)
    image[:, 29000:] = 255
    ids = model(image)
    assert (ids[:, :29000] == 0).all() and (ids[:, 29000:] == 1).all()
    assert set(seen) == {(24, WINDOW)}
    seen.clear()
    model(image[:, :600])
    assert set(seen) == {(24, 600)}, 'what fits is seen at once'


def test_what_cannot_be_cut_says_what_to_set():
    model, seen = predictor(Config, flip=True)
    with pytest.raises(InputError, match='24x30000 pixels is too large for several looks.*\nset .*eval.flip=False'):
        model(np.zeros((24, 30000, 3), np.uint8))
    with pytest.raises(InputError, match=f'a side of {LONGEST} pixels or more'):
        model(np.zeros((1, LONGEST, 3), np.uint8))
    assert not seen
