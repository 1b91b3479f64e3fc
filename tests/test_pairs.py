"""Every encoder with every decoder: it builds, says what it is, and takes a step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from s4mim_jax import models
from s4mim_jax.config import base
from s4mim_jax.planning.program import abstract_batch
from s4mim_jax.training import create_state, make_train_step
from s4mim_jax.training.state import abstract_state
from s4mim_jax.validate import validate

PAIRS = [(encoder, decoder) for encoder in models.ENCODERS for decoder in models.DECODERS]
LARGE = ('dinov2_vitl14', 'dinov2_vitg14')


@pytest.mark.parametrize('encoder, decoder', PAIRS)
def test_every_pair_builds_at_its_published_size(encoder, decoder):
    config = base().model
    config.update(dict(encoder=encoder, decoder=decoder))
    module = models.build(config, 5)
    outputs, variables = jax.eval_shape(lambda: module.init_with_output(
        jax.random.key(0), jnp.zeros((2, 56, 84, 3)), train=True))
    assert outputs.logits.shape == (2, 56, 84, 5) and outputs.logits.dtype == jnp.float32
    # Finer than the encoder's last map: a decoder that gave that back would have fused nothing.
    assert outputs.coarse.shape[-1] == 5 and outputs.coarse.shape[1] > outputs.features[-1].shape[1]
    assert outputs.features[-1].shape[1:3] == tuple(-(-n // models.feature_stride(config)) for n in (56, 84))
    assert set(variables['params']) == {'encoder', 'decoder'}


def narrow(encoder, decoder):
    config = tiny.config('supervised', crop=(28, 42), batch=2)
    config.model.update(encoder=encoder, decoder=decoder, width=4, decoder_width=4, low_level_width=4, dpt_features=4,
                        dpt_channels=(4, 4, 4, 4), unet_widths=(4, 4, 4, 4), aspp_rates=(2, 3))
    if encoder.startswith('dinov2'):
        config.model.update(vit_depth=4, vit_width=4, vit_heads=2)
    validate(config)
    return config


@pytest.mark.slow
@pytest.mark.parametrize('encoder, decoder', [pair for pair in PAIRS if pair[0] not in LARGE])
def test_every_pair_takes_a_step(encoder, decoder):
    config = narrow(encoder, decoder)
    state = create_state(config, tiny.CLASSES)
    new, metrics = make_train_step(config, tiny.CLASSES)(state, tiny.batch(config))
    assert np.isfinite(float(metrics['loss'].total)) and float(metrics['gradient_norm'].total) > 0
    for part in ('encoder', 'decoder'):
        moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), state.params[part], new.params[part])
        assert any(jax.tree.leaves(moved))


@pytest.mark.parametrize('decoder', models.DECODERS)
@pytest.mark.parametrize('encoder', LARGE)
def test_large_pairs_take_a_step_in_shapes(encoder, decoder):
    """At the published size, which is too large to compute in a test."""
    config = tiny.config('supervised', crop=(28, 28), batch=2)
    config.model.update(encoder=encoder, decoder=decoder)
    state = abstract_state(config, tiny.CLASSES)
    new, metrics = jax.eval_shape(make_train_step(config, tiny.CLASSES), state, abstract_batch(config))
    assert jax.tree.map(lambda x: x.shape, new.params) == jax.tree.map(lambda x: x.shape, state.params)
    assert metrics['loss'].total.shape == ()
