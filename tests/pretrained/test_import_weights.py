"""Pretrained encoders: exact, complete, and every file that does not fit is refused by name."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torchvision_files as files
from PIL import Image
from safetensors.numpy import load_file, save_file

from s4mim_jax import models
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.import_weights import convert
from s4mim_jax.models.initial import leaf_shapes
from s4mim_jax.pretrained import import_variables
from s4mim_jax.pretrained.contents import recognise
from s4mim_jax.pretrained.readers import Weights, read_weights

DATA = Path(os.environ.get('S4MIM_DATA', 'data'))
REAL = DATA / 'weights' / 'mobilenet_v2_imagenet.safetensors'


def settings(encoder='mobilenet_v2', **changes):
    config = base().model
    config.update(dict(encoder=encoder, decoder_width=8, low_level_width=6, **changes))
    return config


@pytest.fixture(scope='module')
def mobilenet(tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'mobilenet.safetensors'
    save_file(files.mobilenet_v2(), path)
    return path


def edited(tmp_path, change, state=None):
    state = files.mobilenet_v2() if state is None else state
    change(state)
    path = tmp_path / 'edited.safetensors'
    save_file(state, path)
    return path


def low_features(source, config, image):
    variables = import_variables(str(source), config, 3)
    module = models.build(config, 3)
    encode = jax.jit(lambda v, x: module.apply(v, x, method=lambda m, x: m.encoder(x, False))[0])
    return encode(variables, jnp.asarray(image[None], jnp.float32))[0]


@pytest.mark.parametrize('padding', ['same', 'symmetric'])
def test_mobilenet_equals_a_numpy_forward_pass(mobilenet, padding):
    image = np.random.default_rng(1).normal(size=(37, 32, 3)).astype(np.float32)
    expected = files.mobilenet_low(load_file(mobilenet), image, padding == 'same')
    ours = low_features(mobilenet, settings(padding=padding), image)
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_resnet_equals_a_numpy_forward_pass(tmp_path):
    np.savez(tmp_path / 'resnet18.npz', **files.resnet())
    image = np.random.default_rng(1).normal(size=(33, 32, 3)).astype(np.float32)
    ours = low_features(tmp_path / 'resnet18.npz', settings('resnet18'), image)
    np.testing.assert_allclose(ours, files.resnet18_low(files.resnet(), image), atol=1e-4)


@pytest.mark.skipif(not REAL.is_file() or not (DATA / 'camvid').is_dir(), reason='needs $S4MIM_DATA')
def test_imagenet_mobilenet_on_a_photograph():
    photograph = sorted((DATA / 'camvid' / 'images' / 'val').glob('*.jpg'))[0]
    crop = np.asarray(Image.open(photograph).convert('RGB'), np.float32)[100:196, 150:278] / 255
    image = (crop - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = files.mobilenet_low(load_file(REAL), image, same=True)
    np.testing.assert_allclose(low_features(REAL, settings(padding='same'), image), expected, atol=1e-4)
    with pytest.raises(InputError, match='--config.model.padding=same'):
        import_variables(str(REAL), settings(padding='symmetric'), 3)


@pytest.mark.parametrize('encoder, stem, state', [
    ('mobilenet_v2', '7x7', lambda: files.mobilenet_v2()),
    ('resnet34', '7x7', lambda: files.resnet((3, 4, 6, 3), width=8)),
    ('resnet50', 'deep', lambda: files.resnet((3, 4, 6, 3), bottleneck=True, deep=True, width=8)),
])
def test_names_and_shapes_cover_the_state_dict_exactly(encoder, stem, state):
    found = recognise(Weights('file', state(), {})).encoder
    state = {n: v for n, v in state().items() if not found.leaves_out(n)}
    shapes = {path: shape for path, shape in leaf_shapes(models.build(settings(encoder, stem=stem, width=8), 3)).items()
              if path.split('/')[1] == 'encoder'}
    named = {found.source(path).names[0]: shape for path, shape in shapes.items()}
    assert len(named) == len(shapes)
    theirs = {n: v.shape if v.ndim == 1 else (*v.shape[2:], v.shape[1], v.shape[0]) for n, v in state.items()}
    assert named == theirs


def test_variables_are_the_file_and_the_seed(mobilenet):
    config = settings()
    first, other = (import_variables(str(mobilenet), config, 3, seed=seed) for seed in (0, 1))
    assert jax.tree.structure(first) == jax.tree.structure(
        jax.eval_shape(models.build(config, 3).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3))))
    assert {x.dtype for x in jax.tree.leaves(first)} == {jnp.dtype('float32')}
    state = load_file(mobilenet)
    stem = first['params']['encoder']['stem']
    np.testing.assert_array_equal(stem['conv']['kernel'], state['features.0.0.weight'].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(first['batch_stats']['encoder']['stem']['norm']['var'],
                                  state['features.0.1.running_var'])
    jax.tree.map(np.testing.assert_array_equal, first['params']['encoder'], other['params']['encoder'])
    kernels = [v['params']['decoder']['fuse1']['conv']['kernel'] for v in (first, other)]
    assert float(jnp.abs(kernels[0] - kernels[1]).max()) > 0.01


@pytest.mark.parametrize('suffix', ['.npz', '.safetensors'])
def test_converted_file_gives_the_same_variables(mobilenet, tmp_path, suffix):
    source = edited(tmp_path, lambda state: None)
    state, metadata = load_file(source), {'padding': 'tf_same'}
    save_file(state, source, metadata=metadata)
    output = tmp_path / f'converted{suffix}'
    written = convert(str(source), 'mobilenet_v2', str(output))
    assert written['padding'] == 'same' and written['encoder'] == 'mobilenet_v2' and not written['missing']
    config = settings(padding='same')
    jax.tree.map(np.testing.assert_array_equal, import_variables(str(output), config, 3),
                 import_variables(str(source), config, 3))
    with pytest.raises(InputError, match='--config.model.padding=same'):
        import_variables(str(output), settings(), 3)
    with pytest.raises(InputError, match='looks like mobilenet_v2, not like encoder resnet18'):
        import_variables(str(output), settings('resnet18', padding='same'), 3)


def test_deep_stem_is_recognised(tmp_path):
    save_file(files.resnet(deep=True), tmp_path / 'deep.safetensors')
    assert convert(str(tmp_path / 'deep.safetensors'), 'resnet18', str(tmp_path / 'o.npz'))['stem'] == 'deep'
    for source in ('deep.safetensors', 'o.npz'):
        with pytest.raises(InputError, match='--config.model.stem=deep'):
            import_variables(str(tmp_path / source), settings('resnet18'), 3)


def test_every_name_that_does_not_fit_is_told(tmp_path):
    def change(state):
        del state['features.3.conv.0.0.weight'], state['features.17.conv.3.running_var']
        state['features.2.extra'] = np.zeros(3, np.float32)
        state['features.0.0.weight'] = np.zeros((64, 3, 3, 3), np.float32)
        state['features.5.conv.3.bias'][0] = np.nan

    path = edited(tmp_path, change)
    with pytest.raises(InputError) as error:
        import_variables(str(path), settings(), 3)
    message = str(error.value)
    first, *rest = message.splitlines()
    assert str(path) in first and first.endswith('2 missing, 1 unexpected, 1 mis-shaped, 1 not finite')
    assert rest == ['missing: features.17.conv.3.running_var, features.3.conv.0.0.weight',
                    'unexpected: features.2.extra',
                    'mis-shaped: features.0.0.weight [64, 3, 3, 3], expected [32, 3, 3, 3]',
                    'not finite: features.5.conv.3.bias']


def test_long_lists_are_counted_wrapped_and_whole(tmp_path):
    removed = []

    def change(state):
        for name in [n for n in state if n.startswith('features.1') and 'features.17.conv.3' not in n]:
            if name != 'features.1.conv.0.0.weight':  # by which the architecture is known
                del state[name]
                removed.append(name)

    path = edited(tmp_path, change)
    with pytest.raises(InputError) as error:
        import_variables(str(path), settings(), 3)
    first, *lines = str(error.value).splitlines()
    told = ' '.join(lines).removeprefix('missing:').replace(',', ' ').split()
    expected = {name for name in removed
                if not name.endswith('num_batches_tracked') and not name.startswith('features.18.')}
    assert len(told) == len(expected) > 100 and set(told) == expected
    assert first.endswith(f'{len(expected)} missing') and max(map(len, lines)) <= 110


def test_allowed_missing_leaves_keep_their_initial_values(mobilenet, tmp_path):
    path = edited(tmp_path, lambda state: state.pop('features.17.conv.3.running_mean'))
    with pytest.raises(InputError, match='features.17.conv.3.running_mean'):
        convert(str(path), 'mobilenet_v2', str(tmp_path / 'o.npz'))
    written = convert(str(path), 'mobilenet_v2', str(tmp_path / 'o.npz'), r'features\.17\.')
    assert written['missing'] == 'batch_stats/encoder/block17/project/norm/mean'
    ours = import_variables(str(tmp_path / 'o.npz'), settings(), 3)['batch_stats']['encoder']['block17']
    np.testing.assert_array_equal(ours['project']['norm']['mean'], np.zeros(320))
    assert float(jnp.abs(ours['project']['norm']['var'] - 1).max()) > 0.1


@pytest.mark.parametrize('state, found', [
    (lambda: files.resnet(width=8), 'resnet18'),
    (lambda: files.resnet((3, 4, 23, 3), True, width=4), 'resnet101'),
    (lambda: files.resnet((1, 1, 2, 1), width=4), 'a ResNet of 1-1-2-1 blocks'),
    (lambda: {'blocks.0.attn.qkv.weight': np.zeros((3, 3), np.float32)}, 'a vision transformer')])
def test_another_architecture_is_named(tmp_path, state, found):
    path = edited(tmp_path, lambda s: None, state())
    with pytest.raises(InputError, match=f'edited.safetensors looks like {found}, not like encoder mobilenet'):
        import_variables(str(path), settings(), 3)


def test_group_norm_is_refused(mobilenet):
    with pytest.raises(InputError, match='--config.model.norm=batch'):
        import_variables(str(mobilenet), settings(norm='group'), 3)


def test_unreadable_files_are_refused_by_name(tmp_path, mobilenet, monkeypatch):
    damaged = tmp_path / 'damaged.safetensors'
    damaged.write_bytes(mobilenet.read_bytes()[:5000])
    (tmp_path / 'damaged.npz').write_bytes(b'PK no archive')
    (tmp_path / 'weights.h5').write_bytes(b'')
    (tmp_path / 'weights.pth').write_bytes(b'')
    monkeypatch.setitem(sys.modules, 'torch', None)
    for name, told in (('absent.npz', 'does not exist'), ('damaged.safetensors', 'cannot be read'),
                       ('damaged.npz', 'cannot be read'), ('weights.h5', '.safetensors, .npz, .pth'),
                       ('weights.pth', 'pip install torch')):
        with pytest.raises(InputError) as error:
            read_weights(tmp_path / name)
        assert name in str(error.value) and told in str(error.value)


def test_output_that_cannot_be_written_leaves_nothing_behind(mobilenet, tmp_path):
    with pytest.raises(InputError, match='absent'):
        convert(str(mobilenet), 'mobilenet_v2', str(tmp_path / 'absent' / 'o.npz'))
    with pytest.raises(InputError, match='.safetensors, .npz'):
        convert(str(mobilenet), 'mobilenet_v2', str(tmp_path / 'o.bin'))
    assert not list(tmp_path.iterdir())


def command(*arguments):
    return subprocess.run([sys.executable, '-m', 's4mim_jax.import_weights', *map(str, arguments)],
                          capture_output=True, text=True, check=False)


def test_command_line(mobilenet, tmp_path):
    done = command(mobilenet, '--encoder=mobilenet_v2', f'--output={tmp_path / "o.safetensors"}')
    assert done.returncode == 0, done.stderr
    assert 'mobilenet_v2' in done.stdout and (tmp_path / 'o.safetensors').is_file()
    failed = command(mobilenet, '--encoder=resnet19', f'--output={tmp_path / "p.npz"}')
    assert failed.returncode == 2 and 'resnet18' in failed.stderr and 'Traceback' not in failed.stderr
    usage = command('--encoder=mobilenet_v2')
    assert usage.returncode == 2 and 'SOURCE' in usage.stderr and 'Traceback' not in usage.stderr


def test_command_line_describes_and_finds_the_encoder_itself(mobilenet, tmp_path):
    described = command(mobilenet, '--describe', '--padding=same')
    assert described.returncode == 0, described.stderr
    assert 'fits         yes' in described.stdout and 'padding      same' in described.stdout
    done = command(mobilenet, f'--output={tmp_path / "o.npz"}', '--padding=same', '--epsilon=0.001')
    assert done.returncode == 0, done.stderr
    assert 'encoder mobilenet_v2 taken' in done.stdout and 'epsilon 0.001 made 1e-05' in done.stdout
    assert read_weights(tmp_path / 'o.npz').metadata['padding'] == 'same'


def test_pickles_of_more_than_arrays_are_refused(tmp_path):
    torch = pytest.importorskip('torch')
    torch.save({'model': torch.nn.Linear(2, 2)}, tmp_path / 'module.pth')  # a pickled object, not its state dict
    with pytest.raises(InputError, match='holds more than arrays.*\n.*state_dict'):
        read_weights(tmp_path / 'module.pth')
    torch.save(torch.zeros(3), tmp_path / 'tensor.pth')
    with pytest.raises(InputError, match='holds a Tensor, not a state dict'):
        read_weights(tmp_path / 'tensor.pth')
    torch.save({'epoch': 3}, tmp_path / 'empty.pth')
    with pytest.raises(InputError, match='holds no arrays'):
        read_weights(tmp_path / 'empty.pth')


def test_unet_takes_no_weights(tmp_path):
    np.savez(tmp_path / 'odd.npz', anything=np.zeros((3, 3), np.float32))
    with pytest.raises(InputError, match='unet is trained from scratch'):
        convert(str(tmp_path / 'odd.npz'), 'unet', str(tmp_path / 'out.npz'))
    assert not (tmp_path / 'out.npz').exists()
