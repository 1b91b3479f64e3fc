"""What weights say of their network becomes the config's; what the user says stays; names of the hub lead to files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import network_files
import numpy as np
import pytest
import tiny
import tiny_run
import torchvision_files
from safetensors.numpy import save_file

from s4mim_jax.config import command_line
from s4mim_jax.config.errors import InputError
from s4mim_jax.pretrained import hub, import_variables
from s4mim_jax.pretrained.take_over import take_over
from s4mim_jax.runs.first_weights import adapt

huggingface_hub = pytest.importorskip('huggingface_hub')

ROOT = Path(__file__).resolve().parents[1]
COMMIT = 'a' * 40


def config_of(source, **model):
    config = tiny.config('supervised')
    config.model.update(pretrained=str(source), **model)
    return config


@pytest.fixture
def deep(tmp_path):
    """A ResNet-18 with the deep stem, of padding `same` as its metadata say."""
    path = tmp_path / 'resnet.safetensors'
    save_file(torchvision_files.resnet(width=8, deep=True), path, metadata={'padding': 'tf_same'})
    return path


def test_a_file_brings_its_stem_and_padding(deep):
    config = config_of(deep)
    assert take_over(config) == [
        f'{deep}: model.stem=deep, as the file says (the config had 7x7)',
        f'{deep}: model.padding=same, as the file says (the config had symmetric)']
    assert (config.model.stem, config.model.padding) == ('deep', 'same') and take_over(config) == []
    import_variables(str(deep), config.model, 3)


def test_a_key_that_the_user_has_set_is_refused_by_name(deep):
    config = config_of(deep)
    take_over(config, {'model.padding', 'model.stem'})
    assert (config.model.stem, config.model.padding) == ('7x7', 'symmetric')
    with pytest.raises(InputError, match='for these weights: --config.model.stem=deep'):
        import_variables(str(deep), config.model, 3)


def test_a_vit_brings_its_registers_and_sizes(tmp_path):
    path = tmp_path / 'vit.safetensors'
    save_file(network_files.dinov2(registers=4), path)
    config = config_of(path, encoder='dinov2_vits14', vit_heads=2)
    take_over(config)
    assert (config.model.registers, config.model.vit_depth, config.model.vit_width) == (4, 4, 16)


def test_weights_of_another_encoder_change_nothing(deep):
    config = config_of(deep, encoder='mobilenet_v2')
    assert take_over(config) == [] and config.model.padding == 'symmetric'


def test_keys_of_the_command_line():
    text = 'configs/camvid.py:fixmatch,model.stem=deep,crop=(96, 96)'
    assert command_line.fixed_keys(text, [('model.padding', 'same')]) == {'model.stem', 'crop', 'model.padding'}
    assert command_line.fixed_keys(None, []) == set()


def test_a_run_that_goes_on_needs_no_file(deep, tmp_path, capsys):
    config = config_of(deep)
    adapt(config, tmp_path / 'run')
    assert 'model.stem=deep' in capsys.readouterr().out
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'config.json').write_text(json.dumps(config.to_dict()))
    deep.unlink()
    again = config_of(deep)
    adapt(again, tmp_path / 'run')
    assert again.model.to_dict() == config.model.to_dict() and not capsys.readouterr().out
    with pytest.raises(InputError, match='does not exist'):
        adapt(config_of(deep), tmp_path / 'other')


def test_a_run_brings_what_its_arrays_were_made_for(tmp_path_factory, tmp_path, capsys):
    run, settings, _ = tiny_run.shared(tmp_path_factory)
    config = config_of(run, encoder='resnet18', width=64)
    adapt(config, tmp_path)
    assert config.model.width == settings.model.width == 8
    assert f'{run}: model.width=8, as that run has it (the config had 64)' in capsys.readouterr().out
    from s4mim_jax.training.initial import initial_variables
    initial_variables(config, 3)
    said = capsys.readouterr().out
    assert 'teacher weights of step 3, resnet18 and deeplabv3plus taken; the last layer begins anew' in said


@pytest.mark.parametrize('name, address', [
    ('timm:resnet50.a1_in1k', 'timm/resnet50.a1_in1k/resolve/main/model.safetensors'),
    ('hf:facebook/dinov2-small', 'facebook/dinov2-small/resolve/main/model.safetensors'),
    ('hf:me/net@v1.0:weights/ema.safetensors', 'me/net/resolve/v1.0/weights/ema.safetensors')])
def test_names(name, address):
    assert hub.is_name(name) and hub.parse(name).address == f'https://huggingface.co/{address}'


@pytest.mark.parametrize('name', ['hf:dinov2', 'timm:a/b', 'hf:a/b/c', 'timm:'])
def test_names_that_are_none(name):
    with pytest.raises(InputError, match='valid: timm:NAME, hf:OWNER/NAME'):
        hub.local_file(name)


def cached(folder: Path, repository: str, files: dict[str, Path | str]) -> None:
    """The layout of huggingface_hub's cache, with one snapshot."""
    place = folder / f'models--{repository.replace("/", "--")}'
    (place / 'snapshots' / COMMIT).mkdir(parents=True)
    (place / 'refs').mkdir()
    (place / 'refs' / 'main').write_text(COMMIT)
    for name, content in files.items():
        path = place / 'snapshots' / COMMIT / name
        path.write_bytes(content.read_bytes()) if isinstance(content, Path) else path.write_text(content)


def offline(cache: Path, code: str):
    environment = os.environ | {'HF_HUB_OFFLINE': '1', 'HF_HUB_CACHE': str(cache), 'JAX_PLATFORMS': 'cpu'}
    return subprocess.run([sys.executable, '-c', code], env=environment, cwd=ROOT, text=True, capture_output=True,
                          timeout=120)


def test_a_cached_file_is_found_without_a_network(tmp_path, deep):
    cached(tmp_path / 'hub', 'timm/tf_resnet18.in1k', {
        'model.safetensors': deep, 'README.md': '---\nlicense: apache-2.0\ntags:\n- timm\n---\n# A model\n'})
    done = offline(tmp_path / 'hub', '''
from s4mim_jax.pretrained.hub import local_file
from s4mim_jax.pretrained.contents import recognise
from s4mim_jax.pretrained.readers import read_weights
path = local_file('timm:tf_resnet18.in1k')
assert local_file('timm:tf_resnet18.in1k') == path
print(recognise(read_weights(path)).epsilon)''')
    assert done.returncode == 0, done.stderr
    first, path, epsilon = done.stdout.splitlines()
    assert first == (f'timm:tf_resnet18.in1k: model.safetensors of timm/tf_resnet18.in1k, revision {COMMIT[:12]}, '
                     'licence apache-2.0')
    assert path.strip().endswith('model.safetensors') and epsilon == '0.001'  # the name of the repository tells it


def test_what_is_not_there_is_told_with_its_address(tmp_path):
    done = offline(tmp_path / 'hub', '''
from s4mim_jax.config.errors import InputError
from s4mim_jax.pretrained.hub import local_file
try:
    local_file('hf:facebook/dinov2-small')
except InputError as error:
    print(error)''')
    assert done.returncode == 0, done.stderr
    assert 'hf:facebook/dinov2-small: neither in the cache' in done.stdout and str(tmp_path / 'hub') in done.stdout
    assert 'download https://huggingface.co/facebook/dinov2-small/resolve/main/model.safetensors' in done.stdout
    assert '--config.model.pretrained=PATH_OF_THE_FILE' in done.stdout and len(done.stdout.splitlines()) == 3


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(InputError, match='pip install huggingface_hub, or download https://huggingface.co/timm/x'):
        hub.local_file('timm:x-without-the-package')


@pytest.mark.slow
def test_train_ends_with_status_2_offline(tmp_path):
    environment = os.environ | {'HF_HUB_OFFLINE': '1', 'HF_HUB_CACHE': str(tmp_path), 'JAX_PLATFORMS': 'cpu'}
    done = subprocess.run([sys.executable, '-m', 's4mim_jax.train', '--config=configs/shapes.py:supervised',
                           f'--workdir={tmp_path / "run"}', '--config.model.pretrained=timm:resnet18.a1_in1k'],
                          env=environment, cwd=ROOT, text=True, capture_output=True, timeout=300)
    assert done.returncode == 2 and 'neither in the cache' in done.stderr and 'Traceback' not in done.stderr
    assert not (tmp_path / 'run').exists()


def test_dinov3_of_a_file_is_told_from_dinov2(tmp_path):
    rng = np.random.default_rng(0)
    state = {name.replace('register_tokens', 'storage_tokens'): array
             for name, array in network_files.dinov2(registers=4, patch=16).items() if name != 'pos_embed'}
    state['rope_embed.periods'] = rng.normal(size=4).astype(np.float32)
    save_file(state, tmp_path / 'vit.safetensors')
    config = config_of(tmp_path / 'vit.safetensors', encoder='dinov3_vits16', vit_heads=2)
    take_over(config)
    variables = import_variables(str(tmp_path / 'vit.safetensors'), config.model, 3)
    assert variables['params']['encoder']['register_tokens'].shape == (1, 4, 16)
    config = config_of(tmp_path / 'vit.safetensors', encoder='dinov2_vits14')
    with pytest.raises(InputError, match='looks like dinov3_vits16, not like encoder dinov2_vits14'):
        import_variables(str(tmp_path / 'vit.safetensors'), config.model, 3)
