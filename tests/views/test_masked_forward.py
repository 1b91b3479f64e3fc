"""Masked copies in a composed forward: who takes part, from which view, behind which gate.

The network is a matrix that a pixel's colour is multiplied by, so that NumPy knows what the teacher says.
"""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from s4mim_jax.parallel import Collectives
from s4mim_jax.terms import TERMS
from s4mim_jax.terms.class_wise_mim import pixel_decoder, reconstructed
from s4mim_jax.training.forward import forward_pass
from s4mim_jax.training.passes import passes_of
from s4mim_jax.views import MEAN, STD
from s4mim_jax.views.randomness import StepRandomness

BATCH, H, W, STRIDE = 4, 32, 48, 8
COLORS = np.random.default_rng(0).normal(size=(3, tiny.CLASSES))
COPIES = ('x_masked', 'w_masked', 's1_masked')


class Colors:
    """A segmenter without an encoder: logits by pixel, features the mean colour of a position."""

    def apply(self, variables, images, train=False, perturb=None, mutable=None):
        assert perturb is None
        logits = images @ jnp.asarray(COLORS, jnp.float32)
        features = images.reshape(len(images), H // STRIDE, STRIDE, W // STRIDE, STRIDE, 3).mean((2, 4))
        outputs = SimpleNamespace(logits=logits, coarse=logits, features=(features,))
        return (outputs, {}) if mutable else outputs


def patches(draw, high):
    """Integers [BATCH, H, W], alike in squares of 16 pixels."""
    return draw.integers(0, high, (BATCH, H // 16, W // 16)).repeat(16, 1).repeat(16, 2)


def composed(**changes):
    """(config, batch, forward) of S4MIM without photometric changes and with a box in every strong view."""
    config = tiny.config('s4mim', crop=(H, W), batch=BATCH, model__output_stride=STRIDE, views__jitter_probability=0.0,
                         views__grayscale_probability=0.0, views__blur_probability=0.0,
                         method__cutmix__probability=1.0, method__feature_perturbation=0.0, method__mim__width=4,
                         **changes)
    batch, draw = tiny.batch(config), np.random.default_rng(1)
    label = patches(draw, tiny.CLASSES)
    batch['labeled']['label'] = np.where(draw.random(label.shape) < 0.2, 255, label).astype(np.uint8)
    image = np.stack([patches(draw, 216) for _ in range(3)], -1)[:, None]
    batch['unlabeled']['image'] = (image + draw.integers(0, 40, (BATCH, 1, H, W, 3))).astype(np.uint8)
    batch['unlabeled']['valid'] = draw.random((BATCH, 1, H, W)) < 0.9
    variables = {'params': {'pixel_decoder': decoder_parameters(config)}, 'batch_stats': {}}
    forward, _ = forward_pass(Colors(), config, passes_of(config.method), Collectives(), variables, None,
                             jax.tree.map(jnp.asarray, batch), StepRandomness(config.seed, 3))
    return config, batch, forward


def decoder_parameters(config):
    one = jnp.zeros((1, 1, 1, 3)), jnp.zeros((1, 1, 1), jnp.int32)
    return pixel_decoder(config).init(jax.random.key(0), *one)['params']


def told(batch):
    """What the teacher says of the weak view: (label, confidence)."""
    pixels = (batch['unlabeled']['image'][:, 0] / 255.0 - MEAN) / STD
    odds = np.exp(pixels @ COLORS)
    return odds.argmax(-1), (odds / odds.sum(-1, keepdims=True)).max(-1)


def boxes(forward):
    """bool [BATCH, H, W]: where the strong view shows another image than the weak one."""
    return (np.abs(np.asarray(forward.images['s1'] - forward.images['w'])) > 1e-3).any(-1)


@pytest.mark.parametrize('mim_tau', [0.6, 0.8])
def test_who_is_reconstructed_is_by_mim_tau_and_not_by_tau(mim_tau):
    for tau in (0.3, 0.95):
        _, batch, forward = composed(method__tau=tau, method__mim__tau=mim_tau)
        (label, confidence), valid = told(batch), batch['unlabeled']['valid'][:, 0]
        np.testing.assert_array_equal(forward.targets['w'].kept, valid & (confidence >= tau))
        part = np.where(valid & (confidence >= mim_tau), label, 255)
        assert 0.1 < (part == 255).mean() < 0.9
        np.testing.assert_array_equal(forward.masked['w_masked'].class_region, part)
        # The strong view's target is its neighbour's inside the box.
        box = boxes(forward)
        assert box.any() and not box.all()
        np.testing.assert_array_equal(forward.masked['s1_masked'].class_region, np.where(box, part[[1, 0, 3, 2]], part))
        np.testing.assert_array_equal(forward.masked['x_masked'].class_region, batch['labeled']['label'])


def test_who_is_reconstructed_is_by_tau_where_mim_tau_is_not_set():
    confident = {}
    for tau in (0.3, 0.8):
        _, batch, forward = composed(method__tau=tau, method__mim__tau=None)
        (label, confidence), valid = told(batch), batch['unlabeled']['valid'][:, 0]
        confident[tau] = np.where(valid & (confidence >= tau), label, 255)
        np.testing.assert_array_equal(forward.masked['w_masked'].class_region, confident[tau])
    assert (confident[0.3] != confident[0.8]).any()


def test_the_photometric_copy_of_the_weak_view_has_no_box():
    _, _, forward = composed(method__masks__w_photometric=True)
    assert boxes(forward).any((1, 2)).all()
    np.testing.assert_allclose(forward.images['w_photometric'], forward.images['w'], atol=1e-5)
    copy = forward.masked['w_masked']
    weak = np.where(np.asarray(copy.visible)[..., None], forward.images['w'], 0.0)
    np.testing.assert_allclose(copy.image, weak, atol=1e-5)


def test_scope_opens_the_gate_between_classes_and_changes_nothing_else():
    passes_by_scope = {}
    for scope in ('class', 'image'):
        config, _, forward = passes_by_scope[scope] = composed(method__mim__scope=scope, method__mim__tau=0.6)
        decoder, params = pixel_decoder(config), decoder_parameters(config)
        for copy in COPIES:
            gate = np.asarray(forward.masked[copy].class_region)[:, STRIDE // 2::STRIDE, STRIDE // 2::STRIDE]
            closed = gate == 255
            assert closed.any() and len(np.unique(gate)) > 3
            features = forward.features[copy]
            decode = lambda gate: np.asarray(decoder.apply({'params': params}, features, jnp.asarray(gate)))
            expected = decode(gate if scope == 'class' else np.where(closed, 255, 3))
            np.testing.assert_allclose(reconstructed(forward)[copy], expected, atol=1e-5)
            # What takes no part stays shut in either scope: an open gate gives the others something else.
            others = (~closed).repeat(STRIDE, 1).repeat(STRIDE, 2)
            assert np.abs(expected - decode(np.full_like(gate, 3)))[others].max() > 1e-3
    (_, _, one), (_, _, other) = passes_by_scope.values()
    ratios = [TERMS['class_wise_mim'].loss(forward) for forward in (one, other)]
    for copy, a, b in zip(COPIES, *ratios, strict=True):
        assert np.abs(reconstructed(one)[copy] - reconstructed(other)[copy]).max() > 1e-3
        jax.tree.map(np.testing.assert_array_equal, one.masked[copy], other.masked[copy])
        np.testing.assert_array_equal(a.count, b.count)
        assert a.count.sum() > 0 and not np.allclose(a.total, b.total)
