"""Every encoder with every decoder: it builds, says what it is, and takes a step."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pages
import pytest
import tiny

from s4mim_jax import catalog, models
from s4mim_jax.config import base
from s4mim_jax.config.encoder_sizes import PATCHES
from s4mim_jax.config.validation import validate
from s4mim_jax.planning.program import abstract_batch
from s4mim_jax.training import create_state, make_train_step
from s4mim_jax.training.state import abstract_state

ROOT = Path(__file__).resolve().parents[2]
PAIRS = [(encoder, decoder) for encoder in models.ENCODERS for decoder in models.DECODERS]
# Too large to compile in a test, or the layers of another encoder more often: these step in shapes alone.
IN_SHAPES = ('dinov2_vitl14', 'dinov2_vitg14', 'dinov3_vitl16', 'dinov3_vith16plus', 'dinov3_convnext_base',
             'dinov3_convnext_large', 'dinov2_vitb14', 'resnet34', 'resnet101')
ALIKE = ('dinov3_vits16plus', 'dinov3_vitb16', 'dinov3_convnext_small', *IN_SHAPES[2:])  # others show the same


def documented() -> str:
    return pages.between('encoders').rstrip('\n')


@pytest.mark.parametrize('encoder, decoder', [
    pytest.param(*pair, marks=pytest.mark.slow if pair[0] in ALIKE and pair[1] != 'linear' else ()) for pair in PAIRS])
def test_every_pair_builds_at_its_published_size(encoder, decoder):
    """And the page says how many parameters it has."""
    config = base().model
    config.update(dict(encoder=encoder, decoder=decoder))
    module, size = models.build(config, catalog.CLASSES), (64, 96) if models.size_multiple(config) == 16 else (56, 84)
    outputs, variables = jax.eval_shape(lambda: module.init_with_output(
        jax.random.key(0), jnp.zeros((2, *size, 3)), train=True))
    assert outputs.logits.shape == (2, *size, catalog.CLASSES) and outputs.logits.dtype == jnp.float32
    # Finer than the encoder's last map: a decoder that gave that back would have fused nothing.
    assert outputs.coarse.shape[-1] == catalog.CLASSES
    assert (outputs.coarse.shape[1] > outputs.features[-1].shape[1]) == (decoder != 'linear')
    assert outputs.features[-1].shape[1:3] == tuple(-(-n // models.feature_stride(config)) for n in size)
    assert set(variables['params']) == {'encoder', 'decoder'}
    count = lambda tree: catalog.millions(sum(int(np.prod(x.shape)) for x in jax.tree.leaves(tree)))
    line = next(line for line in documented().splitlines() if line.startswith(f'| `{encoder}` |'))
    alone, *pairs = [cell.strip() for cell in line.split('|')[2:-1]]
    assert alone == count(variables['params']['encoder'])
    assert pairs[list(models.DECODERS).index(decoder)].startswith(count(variables['params']) + ' / ')


def narrow(encoder, decoder):
    config = tiny.config('supervised', crop=(32, 48) if encoder.startswith('dinov3') else (28, 42), batch=2)
    config.model.update(encoder=encoder, decoder=decoder, width=4, decoder_width=4, low_level_width=4, dpt_features=4,
                        dpt_channels=(4, 4, 4, 4), unet_widths=(4, 4, 4, 4), aspp_rates=(2, 3))
    if encoder in PATCHES:
        config.model.update(vit_depth=4, vit_width=8, vit_heads=2)
    validate(config)
    return config


@pytest.mark.slow
@pytest.mark.parametrize('encoder, decoder', [pair for pair in PAIRS if pair[0] not in (*IN_SHAPES, *ALIKE)])
def test_every_pair_takes_a_step(encoder, decoder):
    config = narrow(encoder, decoder)
    state = create_state(config, tiny.CLASSES)
    new, metrics = make_train_step(config, tiny.CLASSES)(state, tiny.batch(config))
    assert np.isfinite(float(metrics['loss'].total)) and float(metrics['gradient_norm'].total) > 0
    for part in ('encoder', 'decoder'):
        moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), state.params[part], new.params[part])
        assert any(jax.tree.leaves(moved))


@pytest.mark.parametrize('encoder, decoder', [
    pytest.param(*pair, marks=() if pair in (('dinov2_vitg14', 'dpt'), ('dinov3_vith16plus', 'dpt')) else
                 pytest.mark.slow)
    for pair in PAIRS if pair[0] in IN_SHAPES and (pair[0].startswith('dinov2') or pair[1] == 'dpt')])
def test_large_pairs_take_a_step_in_shapes(encoder, decoder):
    """At the published size."""
    config = tiny.config('supervised', crop=(32, 32) if encoder.startswith('dinov3') else (28, 28), batch=2)
    config.model.update(encoder=encoder, decoder=decoder)
    state = abstract_state(config, tiny.CLASSES)
    new, metrics = jax.eval_shape(make_train_step(config, tiny.CLASSES), state, abstract_batch(config))
    assert jax.tree.map(lambda x: x.shape, new.params) == jax.tree.map(lambda x: x.shape, state.params)
    assert metrics['loss'].total.shape == ()


@pytest.mark.slow
def test_the_readmes_table_is_what_the_command_prints():
    assert documented() == catalog.table(catalog.rows(base().model))


def test_flops_are_those_of_the_layers():
    """A ViT by hand: projections, attention and the MLP; norms and activations are a few percent."""
    config = base().model
    config.update(dict(encoder='dinov2_vits14', decoder='deeplabv3plus', vit_depth=4, vit_width=256))
    tokens, width = 1 + 4 * 6, 256
    layer = 2 * tokens * width * (3 + 1 + 4 + 4) * width + 2 * 2 * tokens ** 2 * width
    count = {}
    for config.vit_depth in (4, 6):
        count[config.vit_depth] = catalog.forward_flops(config, 3, (56, 84))
    assert layer < (count[6] - count[4]) / 2 < 1.1 * layer


def test_keys_of_one_encoder_do_not_stop_the_others():
    config = base().model
    config.update(dict(encoder='dinov2_vits14', registers=4, vit_depth=4, multi_grid=(1, 2, 4)))
    assert catalog.paired(config, 'resnet18', 'dpt').multi_grid is None  # two blocks in its last stage
    changed = catalog.paired(config, 'resnet50', 'dpt')
    assert changed.multi_grid == (1, 2, 4) and changed.registers == 0
    for encoder in models.ENCODERS:
        models.validate(catalog.paired(config, encoder, 'dpt'))


def command(*arguments):
    return subprocess.run([sys.executable, '-m', 's4mim_jax.catalog', *arguments], cwd=ROOT, capture_output=True,
                          text=True, timeout=300)


def test_the_command_lists_pairs():
    done = command('--encoder=mobilenet_v2', '--size=64,100', '--classes=3')
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [['mobilenet_v2', d] for d in models.DECODERS]
    assert all(line.endswith('64 x 100') for line in lines[1:])


@pytest.mark.parametrize('arguments, says', [
    (('--size=12',), '--size=12 must be HEIGHT,WIDTH'), (('--encoder=vgg',), 'valid: mobilenet_v2, resnet18'),
    (('--config.model.width=8',), 'needs a --config=FILE')])
def test_the_command_refuses_what_it_cannot_use(arguments, says):
    done = command(*arguments)
    assert done.returncode == 2 and says in done.stderr and 'Traceback' not in done.stderr
