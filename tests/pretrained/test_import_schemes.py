"""Which networks a file is found to be, what of it is taken, and what is refused. Nothing here needs PyTorch."""

import re

import ml_dtypes
import network_files
import numpy as np
import pages
import pytest
import tiny
import torchvision_files as files
from safetensors.numpy import save_file

from s4mim_jax import models
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.import_weights import convert, open_source
from s4mim_jax.models.initial import leaf_shapes
from s4mim_jax.pretrained import import_variables
from s4mim_jax.pretrained.contents import recognise
from s4mim_jax.pretrained.description import describe
from s4mim_jax.pretrained.matching import fit
from s4mim_jax.pretrained.parts import wanted
from s4mim_jax.pretrained.readers import Weights, read_weights
from s4mim_jax.pretrained.schemes import SCHEMES
from s4mim_jax.training.initial import initial_variables

CLASSES = 5


def settings(encoder='resnet18', **changes):
    config = base().model
    config.update(dict(encoder=encoder, **changes))
    return config


NARROW = dict(width=8, decoder_width=8, low_level_width=6, align_corners=True)
TINY = dict(encoder='dinov2_vits14', vit_depth=4, vit_width=16, vit_heads=2, decoder='dpt', dpt_features=4,
            dpt_channels=(3, 5, 6, 7), align_corners=True)


def deeplab(classes=CLASSES):
    return network_files.deeplabv3plus(files.resnet(width=8), classes)


def contents(state, path='file.npz', **metadata):
    return recognise(Weights(path, state, metadata))


def told_of(state, config, classes=CLASSES, **metadata):
    """Paths that are taken, and the lines about them."""
    found = contents(state, **metadata)
    plan = wanted(found, config, classes)
    fitted = fit(found, plan)
    return set(fitted.arrays), ' '.join([plan.told, *fitted.notes])


def of_model(config, classes=CLASSES):
    return set(leaf_shapes(models.build(config, classes)))


@pytest.mark.parametrize('state, config', [
    (deeplab, settings(**NARROW)),
    (lambda: network_files.dpt(network_files.dinov2(), CLASSES), settings(**TINY)),
    (lambda: network_files.dpt(network_files.dinov2(registers=4), CLASSES), settings(**TINY, registers=4))])
def test_a_whole_network_brings_every_leaf_where_the_classes_agree(state, config):
    taken, told = told_of(state(), config)
    assert taken == of_model(config) and 'of 5 classes taken' in told and 'config.model has not' not in told


def test_other_classes_leave_the_last_layer():
    taken, told = told_of(deeplab(21), settings(**NARROW))
    assert of_model(settings(**NARROW)) - taken == {f'params/decoder/classifier/{leaf}' for leaf in ('kernel', 'bias')}
    assert 'decoder deeplabv3plus of 21 classes taken, but for the last layer: 5 classes are wanted' in told


def test_another_decoder_leaves_the_encoder():
    config = settings(width=8, decoder='unet')
    taken, told = told_of(deeplab(), config)
    assert taken == {path for path in of_model(config) if '/encoder/' in path}
    assert 'its decoder deeplabv3plus of 5 classes is not: the model has decoder unet' in told


def test_habits_of_the_source_are_told():
    assert 'its own code has align_corners=True' in told_of(deeplab(), settings(**NARROW | {'align_corners': False}))[1]


def test_a_run_prints_what_it_begins_with(tmp_path, capsys):
    save_file(deeplab(3), tmp_path / 'network.safetensors')
    config = tiny.config('supervised', model__pretrained=str(tmp_path / 'network.safetensors'), model__padding='same',
                         model__align_corners=True, model__low_level_width=6)
    initial_variables(config, CLASSES)
    printed = capsys.readouterr().out
    assert 'but for the last layer: 5 classes are wanted' in printed and 'its padding is not stated' in printed


def test_import_variables_says_what_was_taken_and_draws_the_last_layer(tmp_path):
    save_file(deeplab(21), tmp_path / 'network.safetensors')
    told = []
    variables = import_variables(str(tmp_path / 'network.safetensors'), settings(**NARROW), CLASSES, say=told.append)
    assert len(told) == 1 and 'network.safetensors: encoder resnet18 and decoder' in told[0]
    kernel = variables['params']['decoder']['classifier']['kernel']
    assert kernel.shape == (1, 1, 8, CLASSES) and float(abs(kernel).max()) > 0.01
    np.testing.assert_array_equal(variables['params']['decoder']['fuse2']['norm']['bias'], deeplab()['fuse.4.bias'])


@pytest.mark.parametrize('state, config', [
    (deeplab, settings(**NARROW)), (lambda: network_files.dpt(network_files.dinov2(), CLASSES), settings(**TINY))])
def test_a_converted_network_is_the_source(tmp_path, state, config):
    save_file(state(), tmp_path / 'source.safetensors')
    metadata = convert(str(tmp_path / 'source.safetensors'), None, str(tmp_path / 'o.npz'))
    assert metadata['classes'] == '5' and metadata['decoder'] == config.decoder
    expected = fit(found := contents(state()), wanted(found, config, CLASSES)).arrays
    again = recognise(read_weights(tmp_path / 'o.npz'))
    actual = fit(again, wanted(again, config, CLASSES)).arrays
    assert actual.keys() == expected.keys() == of_model(config)
    for path, array in expected.items():
        np.testing.assert_array_equal(actual[path], array)
    assert wanted(again, config, 9).known == ('params/decoder/classifier/bias', 'params/decoder/classifier/kernel')


def test_encoder_only_leaves_the_decoder_behind(tmp_path):
    save_file(deeplab(), tmp_path / 'source.safetensors')
    told = []
    metadata = convert(str(tmp_path / 'source.safetensors'), 'resnet18', str(tmp_path / 'o.npz'), encoder_only=True,
                       say=told.append)
    assert 'decoder' not in metadata and 'is not: as asked' in told[0]
    assert not any('decoder' in name for name in read_weights(tmp_path / 'o.npz').arrays)


@pytest.mark.parametrize('state, config, told', [
    (deeplab, settings(**NARROW | {'decoder_width': 256}), '--config.model.decoder_width=8'),
    (deeplab, settings(**NARROW | {'width': 64}), '--config.model.width=8'),
    (lambda: network_files.dinov2(registers=4), settings(**TINY), '--config.model.registers=4'),
    (network_files.dinov2, settings(**TINY | {'vit_width': 32}), '--config.model.vit_width=16'),
    (lambda: network_files.dpt(network_files.dinov2(), CLASSES, channels=(4, 4, 4, 4)), settings(**TINY),
     '--config.model.dpt_channels=(4,4,4,4)')])
def test_a_setting_that_does_not_fit_is_told(state, config, told):
    with pytest.raises(InputError, match=re.escape(f'for these weights: {told}')) as error:
        told_of(state(), config)
    assert len(str(error.value).splitlines()) <= 3
    assert ('--encoder_only' in str(error.value)) == ('decoder' in told or 'dpt' in told)


def averaging_shortcuts(state):
    for name in [n for n in state if '.downsample.' in n]:
        index = int(name.split('.')[3])
        state[name.replace(f'downsample.{index}.', f'downsample.{index}x.')] = state.pop(name)
    for name in [n for n in state if 'x.' in n]:
        index = int(name.split('downsample.')[1][0])
        state[name.replace(f'{index}x.', f'{index + 1}.')] = state.pop(name)


def grouped(state):
    state['layer1.0.conv2.weight'] = state['layer1.0.conv2.weight'][:, :2]


def narrow_stem(state):
    state['conv1.0.weight'], state['conv1.3.weight'] = np.zeros((4, 3, 3, 3)), np.zeros((4, 4, 3, 3))
    state['conv1.6.weight'] = np.zeros((8, 4, 3, 3))


def wide(state):
    state['layer1.0.conv1.weight'] = np.zeros((16, 8, 1, 1))


@pytest.mark.parametrize('deep, change, told', [
    (True, averaging_shortcuts, 'average 2x2'), (False, grouped, 'ResNeXt'), (False, wide, 'Wide ResNet'),
    (True, narrow_stem, '4-4-8 channels, the deep stem here 8-8-16')])
def test_relatives_of_resnet50_are_refused_with_the_difference(deep, change, told):
    state = files.resnet((3, 4, 6, 3), bottleneck=True, deep=deep, width=8)
    change(state)
    config = settings('resnet50', width=8, stem='deep' if deep else '7x7')
    with pytest.raises(InputError, match=told):
        told_of(state, config)
    assert any(told in line for line in describe(contents(state)))


@pytest.mark.parametrize('change, told', [
    (lambda s: s.update({'patch_embed.proj.weight': np.zeros((16, 3, 16, 16), np.float32)}), '16 x 16 pixels, here 14'),
    (lambda s: [s.pop(n) for n in list(s) if '.ls1' in n or '.ls2' in n], 'without LayerScale')])
def test_other_vision_transformers_are_refused(change, told):
    state = network_files.dinov2()
    change(state)
    with pytest.raises(InputError, match=told):
        told_of(state, settings(**TINY))


@pytest.mark.parametrize('encoder, depth, width, hidden, gated', [
    ('dinov2_vits14', 12, 384, 1536, False), ('dinov2_vitb14', 12, 768, 3072, False),
    ('dinov2_vitl14', 24, 1024, 4096, False), ('dinov2_vitg14', 40, 1536, 4096, True)])
def test_the_released_sizes_need_no_setting(encoder, depth, width, hidden, gated):
    tiny_names = network_files.dinov2(registers=4, depth=1)
    sizes = {'attn.qkv': (3 * width, width), 'attn.proj': (width, width), 'mlp.fc1': (hidden, width),
             'mlp.fc2': (width, hidden), 'mlp.w12': (2 * hidden, width), 'mlp.w3': (width, hidden)}
    state = {}
    for name, array in tiny_names.items():
        shape = tuple(width if size == 16 else size for size in array.shape)
        for old, new in (('fc1', 'w12'), ('fc2', 'w3')) if gated else ():
            name = name.replace(old, new)
        layer, _, leaf = name.removeprefix('blocks.0.').rpartition('.')
        if layer in sizes:
            shape = sizes[layer] if leaf == 'weight' else sizes[layer][:1]
        for block in range(depth) if name.startswith('blocks') else (0,):
            # Strides of zero: a value for all, so that even ViT-g takes no memory.
            state[name.replace('blocks.0', f'blocks.{block}')] = np.broadcast_to(np.float32(1), shape)
    found = contents(state)
    config = settings(encoder, registers=4, decoder='dpt')
    plan = wanted(found, config, CLASSES)
    shapes = {found.encoder.source(path).names[0]: found.encoder.source(path).layout.theirs(shape)
              for path, shape in plan.shapes.items()}
    assert shapes == {name: array.shape for name, array in state.items() if name != 'mask_token'}


def test_unexpected_names_of_both_parts_are_told():
    state = deeplab() | {'backbone.extra': np.zeros(2), 'head.b9.0.weight': np.zeros(2), 'aside': np.zeros(2)}
    with pytest.raises(InputError, match='with deeplabv3plus: 3 unexpected\nunexpected: backbone.extra, head.b9'):
        told_of(state, settings(**NARROW))
    # The decoder's own are no matter where the decoder is not wanted.
    with pytest.raises(InputError, match='resnet18: 2 unexpected\nunexpected: backbone.extra, aside'):
        told_of(state, settings(width=8, decoder='unet'))


def test_an_unknown_naming_is_told_with_its_names():
    with pytest.raises(InputError, match='no naming scheme known here, its names begin a.b, c'):
        told_of({'a.b': np.zeros(2), 'c': np.zeros(3)}, settings())
    lines = describe(contents({'a.b': np.zeros(2), 'c': np.zeros(3)}))
    assert lines[1] == 'encoder      none that is known' and lines[-1] == 'names: a.b, c'


def test_tensorflow_networks_of_timm_bring_their_padding_and_epsilon(tmp_path):
    state = dict(files.mobilenet_v2().items())
    folder = tmp_path / 'tf_mobilenetv2_100.in1k'
    found = contents(state, path=str(folder / 'model.safetensors'))
    assert (found.padding, found.epsilon) == ('same', 1e-3)
    with pytest.raises(InputError, match='--config.model.padding=same'):
        wanted(found, settings('mobilenet_v2'), CLASSES)
    fitted = fit(found, wanted(found, settings('mobilenet_v2', padding='same'), CLASSES))
    given = state['features.0.1.running_var']
    np.testing.assert_allclose(fitted.arrays['batch_stats/encoder/stem/norm/var'] + 1e-5, given + 1e-3, rtol=1e-6)
    assert 'epsilon 0.001 made 1e-05' in fitted.notes[0]
    plain = contents(state)
    assert (plain.padding, plain.epsilon) == (None, 1e-5)


@pytest.mark.parametrize('metadata, told', [(dict(padding='valid'), "padding 'valid'"), (dict(epsilon='one'), "'one'")])
def test_metadata_that_make_no_sense_are_refused(metadata, told):
    with pytest.raises(InputError, match=told):
        told_of(files.mobilenet_v2(), settings('mobilenet_v2'), **metadata)


def two_entries(tmp_path):
    student, teacher = files.resnet(width=8, seed=1), files.resnet(width=8, seed=2)
    np.savez(tmp_path / 'run.npz', **{f'model.module.{name}': array for name, array in student.items()},
             **{f'model_ema.module.{name}': array for name, array in teacher.items()})
    return tmp_path / 'run.npz', student, teacher


def test_the_averaged_entry_is_the_default(tmp_path):
    path, student, teacher = two_entries(tmp_path)
    for entry, state in ((None, teacher), ('model_ema', teacher), ('model', student)):
        weights = read_weights(path, entry)
        assert weights.entry == (entry or 'model_ema') and weights.entries == {'model': 122, 'model_ema': 122}
        np.testing.assert_array_equal(weights.arrays['conv1.weight'], state['conv1.weight'])
    assert 'entry model_ema: encoder resnet18 taken' in wanted(open_source(str(path)), settings(width=8), CLASSES).told
    with pytest.raises(InputError, match="no entry 'teacher'\nvalid: model, model_ema"):
        read_weights(path, 'teacher')
    np.savez(tmp_path / 'bare.npz', **student)
    with pytest.raises(InputError, match='leave --entry out'):
        read_weights(tmp_path / 'bare.npz', 'model')


def test_half_precision_files_become_float32(tmp_path):
    state = files.resnet(width=8)
    for kind in (np.float16, ml_dtypes.bfloat16):
        short = {name: array.astype(kind) if array.ndim else array for name, array in state.items()}
        save_file(short, tmp_path / 'short.safetensors')
        found = open_source(str(tmp_path / 'short.safetensors'))
        arrays = fit(found, wanted(found, settings(width=8), CLASSES)).arrays
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
        np.testing.assert_array_equal(arrays['params/encoder/stem1/conv/kernel'],
                                      state['conv1.weight'].astype(kind).astype(np.float32).transpose(2, 3, 1, 0))


def test_describe_tells_parts_settings_counts_and_leftovers():
    state = deeplab() | {f'backbone.fc.{leaf}': np.zeros(3, np.float32) for leaf in ('weight', 'bias')}
    text = '\n'.join(describe(contents(state)))
    shapes = leaf_shapes(models.build(settings(**NARROW), CLASSES))
    count = {part: sum(int(np.prod(shape)) for path, shape in shapes.items() if path.startswith(f'params/{part}'))
             for part in ('encoder', 'decoder')}
    for line in ('encoder      resnet18, names as in torchvision', 'decoder      deeplabv3plus of 5 classes',
                 '--config.model.encoder=resnet18 --config.model.width=8 --config.model.decoder_width=8',
                 'its own code --config.model.align_corners=True', f'parameters   {count["encoder"]:,} in the encoder',
                 f'parameters   {count["decoder"]:,} in the decoder', 'fits         yes',
                 'left out: backbone.fc.weight, backbone.fc.bias', 'padding      not stated'):
        assert line in text, line


def test_the_page_lists_the_schemes_of_the_table():
    assert [tuple(row) for row in pages.rows('schemes')] == [
        (scheme.part, scheme.name, scheme.origin, scheme.keys) for scheme in SCHEMES]
