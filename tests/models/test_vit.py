"""DINOv2's ViT against NumPy, written layer by layer from the published description."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from PIL import Image
from scipy.special import erf

from s4mim_jax import models
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.models.initial import leaf_shapes
from s4mim_jax.models.vit import GRID, VITS, Block, resize_positions


def settings(encoder='dinov2_vits14', decoder='dpt', **changes):
    config = base().model
    config.update(dict(encoder=encoder, decoder=decoder, vit_depth=4, vit_width=12, vit_heads=3, dpt_features=4,
                       dpt_channels=(4, 5, 6, 7)))
    config.update(changes)
    return config


def shaken(variables, seed=0):
    """Random values everywhere: zero biases and scales of one would hide mistakes."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: np.asarray(x + 0.3 * rng.normal(size=x.shape), np.float32), variables)


def norm(p, x):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-6) * p['scale'] + p['bias']


def linear(p, x):
    return x @ p['kernel'] + p['bias']


def attention(p, x, heads):
    """One image and one head at a time."""
    batch, _, width = x.shape
    each, out = width // heads, np.zeros_like(x)
    for b in range(batch):
        qkv = linear(p['qkv'], x[b])
        for h in range(heads):
            q, k, v = (qkv[:, part * width + h * each:part * width + (h + 1) * each] for part in range(3))
            scores = np.exp(q @ k.T / np.sqrt(each))
            out[b, :, h * each:(h + 1) * each] = scores / scores.sum(1, keepdims=True) @ v
    return linear(p['out'], out)


def mlp(p, x):
    if 'w12' in p:
        both = linear(p['w12'], x)
        a, b = both[..., :both.shape[-1] // 2], both[..., both.shape[-1] // 2:]
        return linear(p['w3'], a / (1 + np.exp(-a)) * b)
    y = linear(p['fc1'], x)
    return linear(p['fc2'], y * 0.5 * (1 + erf(y / np.sqrt(2))))


def block(p, x, heads):
    x = x + p['scale1'] * attention(p['attention'], norm(p['norm1'], x), heads)
    return x + p['scale2'] * mlp(p['mlp'], norm(p['norm2'], x))


def doubled(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


@pytest.mark.parametrize('gated, hidden', [(False, 48), (True, 32)])
def test_a_block_equals_the_definition(gated, hidden):
    x = np.random.default_rng(1).normal(size=(2, 5, 12)).astype(np.float32)
    module = Block(heads=3, gated=gated)
    variables = shaken(module.init(jax.random.key(0), x))
    parts = variables['params']['mlp']
    assert parts['w12' if gated else 'fc1']['kernel'].shape == (12, 2 * hidden if gated else hidden)
    np.testing.assert_allclose(module.apply(variables, x), block(doubled(variables['params']), x.astype(np.float64), 3),
                               rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize('registers', [0, 4])
def test_a_network_equals_the_definition(registers):
    """Patches, positions, class token, registers, blocks, taps and the final norm on every tap."""
    images = np.random.default_rng(1).normal(size=(2, 28, 42, 3)).astype(np.float32)
    module = models.build(settings(vit_depth=5, registers=registers), 3)
    variables = shaken(models.init_variables(module, jax.random.key(0)))
    p = doubled(variables['params']['encoder'])
    tokens = np.zeros((2, 2, 3, 12))
    for y in range(2):
        for x in range(3):
            square = images[:, 14 * y:14 * y + 14, 14 * x:14 * x + 14].reshape(2, -1).astype(np.float64)
            tokens[:, y, x] = square @ p['patch_embed']['kernel'].reshape(-1, 12) + p['patch_embed']['bias']
    table = p['position_embedding'][:, 1:].reshape(1, GRID, GRID, 12)
    how = 'antialias' if registers else 'offset'
    x = (tokens + np.asarray(resize_positions(table, (2, 3), how))).reshape(2, 6, 12)
    first = np.repeat(p['class_token'] + p['position_embedding'][:, :1], 2, 0)
    between = [np.repeat(p['register_tokens'], 2, 0)] if registers else []
    x, taps = np.concatenate([first, *between, x], 1), []
    for number in range(5):
        x = block(p[f'block{number + 1}'], x, 3)
        if number in (0, 1, 2, 4):  # a quarter, a half, three quarters and the whole of the depth
            taps.append(norm(p['norm'], x)[:, 1 + registers:].reshape(2, 2, 3, 12))
    features = module.apply(variables, images).features
    assert len(features) == 4
    for ours, expected in zip(features, taps):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def by_taps(line, target, step):
    """PyTorch's bicubic along the first axis: four taps around (i + .5) step - .5, borders repeated, a = -.75."""
    a, out = -0.75, np.zeros((target, *line.shape[1:]))
    near = lambda d: (a + 2) * d ** 3 - (a + 3) * d ** 2 + 1
    far = lambda d: a * d ** 3 - 5 * a * d ** 2 + 8 * a * d - 4 * a
    for i in range(target):
        position = (i + 0.5) * step - 0.5
        low = int(np.floor(position))
        t = position - low
        for tap, weight in zip(range(low - 1, low + 3), (far(1 + t), near(t), near(1 - t), far(2 - t))):
            out[i] += weight * line[min(max(tap, 0), len(line) - 1)]
    return out


@pytest.mark.parametrize('size', [(8, 11), (37, 20), (57, 40)])
@pytest.mark.parametrize('how, extra', [('offset', 0.1), ('size', 0.0)])
def test_positions_are_resized_as_in_the_released_code(size, how, extra):
    table = np.random.default_rng(0).normal(size=(1, GRID, GRID, 3))
    expected = by_taps(table[0], size[0], GRID / (size[0] + extra))
    expected = by_taps(expected.transpose(1, 0, 2), size[1], GRID / (size[1] + extra)).transpose(1, 0, 2)
    np.testing.assert_allclose(resize_positions(jnp.asarray(table, jnp.float32), size, how)[0], expected, atol=1e-5)


@pytest.mark.parametrize('size', [(8, 11), (57, 40)])
def test_positions_of_registers_are_resized_as_by_pil(size):
    """PyTorch's antialiased bicubic is PIL's filter."""
    table = np.random.default_rng(0).normal(size=(GRID, GRID)).astype(np.float32)
    expected = np.asarray(Image.fromarray(table).resize(size[::-1], Image.Resampling.BICUBIC))
    ours = resize_positions(jnp.asarray(table)[None, ..., None], size, 'antialias')[0, ..., 0]
    np.testing.assert_allclose(ours, expected, atol=1e-5)


@pytest.mark.parametrize('how', ['offset', 'size', 'antialias'])
def test_the_pretraining_grid_is_left_alone(how):
    table = jax.random.normal(jax.random.key(0), (1, GRID, GRID, 3))
    np.testing.assert_array_equal(resize_positions(table, (GRID, GRID), how), table)


def test_the_config_chooses_how_and_the_ways_differ():
    chosen = lambda **changes: models.build(settings(**changes), 3).encoder.positions
    assert (chosen(), chosen(registers=4)) == ('offset', 'antialias')  # as the released weights were trained
    table = jax.random.normal(jax.random.key(0), (1, GRID, GRID, 1))
    resized = [resize_positions(table, (16, 23), chosen(positions=how)) for how in ('offset', 'size', 'antialias')]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert float(jnp.abs(resized[i] - resized[j]).max()) > 0.01


@pytest.mark.parametrize('encoder, count, whole', [
    # Released files without mask_token; UniMatch V2's README has the whole networks in millions, which
    # count mask_token and a unit of the coarsest fusion that no image passes.
    ('dinov2_vits14', 22_056_576, 24.8), ('dinov2_vitb14', 86_580_480, 97.5), ('dinov2_vitl14', 304_368_640, 335.6),
    ('dinov2_vitg14', 1_136_480_768, None)])
def test_published_number_of_parameters(encoder, count, whole):
    config = base().model
    config.update(dict(encoder=encoder, decoder='dpt'))
    shapes = leaf_shapes(models.build(config, 21))
    width, features = VITS[encoder][1], shapes['params/decoder/head1/bias'][0]
    sizes = lambda part: sum(int(np.prod(s)) for p, s in shapes.items() if p.startswith(f'params/{part}/'))
    assert sizes('encoder') + width == count
    if whole:
        unused = 2 * (9 * features ** 2 + features)
        assert round((count + sizes('decoder') + unused) / 1e6, 1) == whole


def test_names_of_the_parameters():
    """Importers and checkpoints know them."""
    shapes = leaf_shapes(models.build(settings(registers=4), 3))
    named = {p.removeprefix('params/encoder/'): s for p, s in shapes.items() if p.startswith('params/encoder/')}
    blocks = {p: s for p, s in named.items() if p.startswith('block')}
    assert {p: s for p, s in named.items() if p not in blocks} == {
        'patch_embed/kernel': (14, 14, 3, 12), 'patch_embed/bias': (12,), 'class_token': (1, 1, 12),
        'position_embedding': (1, 1370, 12), 'register_tokens': (1, 4, 12), 'norm/scale': (12,), 'norm/bias': (12,)}
    assert {p.partition('/')[2]: s for p, s in blocks.items() if p.startswith('block4/')} == {
        'norm1/scale': (12,), 'norm1/bias': (12,), 'attention/qkv/kernel': (12, 36), 'attention/qkv/bias': (36,),
        'attention/out/kernel': (12, 12), 'attention/out/bias': (12,), 'scale1': (12,), 'norm2/scale': (12,),
        'norm2/bias': (12,), 'mlp/fc1/kernel': (12, 48), 'mlp/fc1/bias': (48,), 'mlp/fc2/kernel': (48, 12),
        'mlp/fc2/bias': (12,), 'scale2': (12,)}
    assert len(blocks) == 4 * 14


def test_bfloat16_has_float32_softmax_norms_and_parameters():
    module = models.build(settings(), 3, dtype=jnp.bfloat16)
    images = jnp.zeros((1, 28, 28, 3))
    outputs, variables = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), images))
    assert {f.dtype for f in outputs.features} == {jnp.dtype('bfloat16')}
    assert outputs.logits.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    text = str(jax.make_jaxpr(lambda v: module.apply(v, images).logits)(variables))
    exponentials = [line for line in text.splitlines() if '= exp ' in line]
    means = [line for line in text.splitlines() if '= rsqrt' in line]
    assert len(exponentials) == 4 and all(':f32[' in line for line in exponentials)
    assert len(means) == 12 and all(':f32[' in line for line in means)


def test_remat_recomputes_blocks_and_changes_nothing():
    images = jnp.zeros((1, 28, 28, 3))
    for remat in (False, True):
        module = models.build(settings(remat=remat), 3)
        text = str(jax.make_jaxpr(lambda v, m=module: m.apply(v, images).logits)(
            jax.eval_shape(module.init, jax.random.key(0), images)))
        assert text.count('remat2[') + text.count('checkpoint[') == (4 if remat else 0)
    x = np.random.default_rng(1).normal(size=(2, 5, 12)).astype(np.float32)
    variables = shaken(Block(3, False).init(jax.random.key(0), x))
    both = jax.jit(lambda v: [jax.grad(lambda v, m=make: jnp.sum(jnp.sin(m(3, False).apply(v, x))))(v)
                              for make in (Block, nn.remat(Block))])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5), *both(variables))


@pytest.mark.parametrize('changes, says', [
    (dict(registers=2), 'config.model.registers=2'), (dict(positions='bilinear'), 'offset, size, antialias'),
    (dict(vit_depth=3), 'at least 4'), (dict(vit_heads=5), '5 heads do not divide the width 12'),
    (dict(vit_width=-1), 'config.model.vit_width=-1'), (dict(freeze_norm=True), 'LayerNorm keeps no statistics'),
    (dict(multi_grid=(1, 2, 4)), 'is for ResNets'),
    (dict(encoder='resnet18'), 'config.model.vit_depth=4 is a key of ViTs'),
    (dict(encoder='resnet18', vit_depth=None, vit_width=None, vit_heads=None, registers=4), 'valid: 0')])
def test_keys_that_do_not_fit_are_refused(changes, says):
    with pytest.raises(InputError, match='config.model') as error:
        models.build(settings(**changes), 3)
    assert says in str(error.value) and str(error.value).count('\n') < 3


def test_an_image_that_is_no_whole_number_of_patches_is_refused():
    module = models.build(settings(), 3)
    with pytest.raises(InputError, match='images of 28 x 30.*multiples of its patch, 14'):
        jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 28, 30, 3))))
