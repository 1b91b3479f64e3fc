"""Sliding prediction row by row: the same classes as all at once, in memory of the width alone."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_run
from PIL import Image

import s4mim_jax
from s4mim_jax.evaluation.inference import Protocol, infer
from s4mim_jax.evaluation.tiled import predict_tiled
from s4mim_jax.prediction import predictor as predictor_module

WEIGHTS = np.random.default_rng(5).normal(size=(3, 6)).astype(np.float32)


def positional(variables, images):
    """Scores that depend on the place in the window, as those of a network with padding do."""
    rows = jnp.arange(images.shape[1], dtype=jnp.float32)[:, None, None] / 7
    columns = jnp.arange(images.shape[2], dtype=jnp.float32)[None, :, None] / 5
    return jax.nn.relu(images) @ variables + jnp.sin(rows + columns * jnp.arange(6))


@pytest.mark.parametrize('size, own', [((70, 53), (70, 53)), ((70, 53), (150, 97)), ((70, 53), (31, 20)),
                                       ((9, 53), (9, 53)), ((8, 7), (20, 21)), ((200, 12), (203, 12))])
@pytest.mark.parametrize('align_corners', [False, True])
def test_rows_decide_as_the_whole_does(size, own, align_corners):
    protocol = Protocol('sliding', (16, 12), align_corners)
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    look = jax.jit(lambda windows: jax.nn.softmax(positional(WEIGHTS, protocol.normalize(windows))))
    ids, top = predict_tiled(look, image, own, protocol, 3, confidence=True)
    expected, confidence = infer(positional, WEIGHTS, image[None], jnp.array([own], jnp.int32), own, protocol,
                                 confidence=True)
    np.testing.assert_allclose(top, confidence[0], atol=1e-5)
    assert np.mean(ids != np.asarray(expected[0])) < 1e-3  # ties in the last bit
    assert predict_tiled(look, image, own, protocol, 3)[1] is None


def test_large_images_of_a_predictor_go_by_rows(tmp_path_factory, monkeypatch):
    run = tiny_run.shared(tmp_path_factory)[0]
    model = s4mim_jax.load(run, overrides=[('data.resize', 'None'), ('eval.mode', 'sliding'), ('eval.multiple', '8'),
                                           ('eval.window', '(32, 32)')])
    small = np.random.default_rng(1).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(small).resize((75, 100), Image.Resampling.BICUBIC))
    whole, top = model.predict([image], confidence=True)[0]
    monkeypatch.setattr(predictor_module, 'TILED_FROM', 0)
    whole_image = lambda images: pytest.fail('the image was seen at once')
    monkeypatch.setattr(model, '_network', model._network._replace(values=whole_image))
    rows, confidence = model.predict([image], confidence=True)[0]
    np.testing.assert_allclose(confidence, top, atol=1e-4)
    assert np.mean(rows != whole) < 2e-3 and len(np.unique(rows)) > 1


PROGRAM = '''
import resource, sys
import jax, numpy as np
from s4mim_jax.evaluation.inference import Protocol
from s4mim_jax.evaluation.tiled import predict_tiled
classes, window = 64, (64, 64)
look = jax.jit(lambda w: jax.nn.softmax(w[..., :1].astype("float32") * jax.numpy.arange(classes) / 255))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
predict = lambda height: predict_tiled(look, np.zeros((height, 512, 3), np.uint8), (height, 512),
                                       Protocol("sliding", window, False), 8)
predict(256)
before = peak()
predict(4096)
print(peak() - before)
'''


def test_memory_does_not_grow_with_the_height():
    """All scores of the larger image are 512 MiB; what grows is the image and its answer, 8 MiB."""
    done = subprocess.run([sys.executable, '-c', PROGRAM], capture_output=True, text=True, timeout=200,
                          cwd=Path(__file__).resolve().parents[2], check=True)
    assert float(done.stdout) < 64
