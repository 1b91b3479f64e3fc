"""docs/own_images.md: its commands are valid, and the images it makes are read as it says."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from s4mim_jax import data
from s4mim_jax.config import base
from s4mim_jax.config.command_line import load_config, split_config_flags
from s4mim_jax.config.overrides import assign
from s4mim_jax.config.validation import validate
from s4mim_jax.data.samples import read_image, read_label
from s4mim_jax.planning.class_weights import with_class_weights

ROOT = Path(__file__).resolve().parents[2]


def commands():
    """[module, words] of every `python -m s4mim_jax.X` of the page; none has a variable for a shell."""
    text = (ROOT / 'docs/own_images.md').read_text()
    lines = re.sub(r'\\\n\s*', '', '\n'.join(re.findall(r'^    (.*)$', text, re.M))).splitlines()
    assert not any('$' in line for line in lines)
    found = [shlex.split(line) for line in lines if line.startswith('python -m')]
    return [(words[2].removeprefix('s4mim_jax.'), words[3:]) for words in found]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('page')
    subprocess.run([sys.executable, str(ROOT / 'docs/examples/make_images.py'), str(root / 'my_images')], check=True,
                   timeout=120)
    return root


def test_every_command_has_valid_settings(monkeypatch):
    monkeypatch.chdir(ROOT)
    flags = {name: (ROOT / f's4mim_jax/{name}.py').read_text() for name in ('train', 'evaluate', 'predict')}
    seen = [name for name, _ in commands()]
    assert seen.count('train') == 5 and seen.count('predict') == 4 and seen.count('evaluate') == 1
    for name, words in commands():
        rest, file, overrides = split_config_flags(words)
        if name == 'train':
            validate(load_config(file, overrides))
        else:
            config = base()
            for key, text in overrides:
                assign(config, key, text)
            validate(config)
        for flag in (word.lstrip('-').partition('=')[0] for word in rest if word.startswith('--')):
            assert f"'{flag}'" in flags[name], (name, flag)


@pytest.mark.parametrize('name', ['binary', 'colors', 'bands', 'gray'])
def test_the_images_are_read_as_the_commands_say(folder, name, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = next(words for command, words in commands()
                 if command == 'train' and f'my_images/{name}' in ' '.join(words))
    _, file, overrides = split_config_flags(words)
    monkeypatch.chdir(folder)
    config = load_config(str(ROOT / file), overrides)
    source = data.open_source(config.data)
    split = data.training_split(source, config.data.split, 0)
    assert (len(split.labeled), len(split.unlabeled)) == (8, 24)
    table = data.check_samples(source, split.unlabeled + data.evaluation_split(source, 'test'))
    assert set().union(*(table[s].classes for s in split.labeled)) == set(range(2 if name == 'binary' else 3))
    image, label = read_image(source, split.labeled[0]), read_label(source, split.labeled[0])
    assert image.shape == (96, 128, config.data.channels) and label.shape == (96, 128)
    if name in ('bands', 'colors'):  # the same scenes: the statistics of the page are those of its images
        pixels = [read_image(source, s).reshape(-1, config.data.channels) for s in split.unlabeled]
        values = np.concatenate(pixels) / 255
        if name == 'bands':
            np.testing.assert_allclose(values.mean(0), config.data.mean, atol=0.05)
            np.testing.assert_allclose(values.std(0), config.data.std, atol=0.05)
            assert table[split.labeled[0]].kind == 'tiff'
        else:
            weights = with_class_weights(config, source, split.labeled).method.class_weights
            assert weights[2] > weights[1] > weights[0] > 0
