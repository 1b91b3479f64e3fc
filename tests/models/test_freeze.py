"""model.freeze_encoder: the encoder stays as the weights were, the head learns; model.decoder=linear is such a head."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from s4mim_jax import models
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.training import make_train_step
from s4mim_jax.training.state import assemble


def config_of(**changes):
    config = tiny.config('supervised', crop=(32, 32), batch=2)
    config.model.update(encoder='dinov3_vits16', decoder='linear', vit_depth=4, vit_width=8, vit_heads=2,
                        freeze_encoder=True, pretrained='weights.safetensors')
    config.model.update(changes)
    return config


def test_a_step_leaves_the_encoder_and_moves_the_head():
    config = config_of()
    validate(config)
    config.model.pretrained = None  # random weights will do
    variables = models.init_variables(models.build(config.model, tiny.CLASSES), jax.random.key(0))
    state = assemble(config, variables, jnp.uint32(0), tiny.CLASSES)
    new, metrics = make_train_step(config, tiny.CLASSES)(state, tiny.batch(config))
    jax.tree.map(np.testing.assert_array_equal, new.params['encoder'], state.params['encoder'])
    assert float(jnp.abs(new.params['decoder']['classifier']['kernel']
                         - state.params['decoder']['classifier']['kernel']).max()) > 0
    assert float(metrics['gradient_norm'].total) > 0


def test_its_statistics_stay_too():
    none = dict.fromkeys(('vit_depth', 'vit_width', 'vit_heads'))
    module = models.build(config_of(encoder='resnet18', width=8, **none).model, 3)
    assert module.encoder.style.frozen and not module.decoder.style.frozen and module.freeze_encoder


def test_without_weights_there_is_nothing_to_hold():
    with pytest.raises(InputError, match='freeze_encoder=true holds the encoder at the values of pretrained weights'):
        validate(config_of(pretrained=None))
