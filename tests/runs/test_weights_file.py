"""The network of a run as a weights file: what begins with it begins with the run's network."""

import jax
import numpy as np
import pytest
import tiny
import tiny_run
from flax import traverse_util

from s4mim_jax import models
from s4mim_jax.config.command_line import load_config
from s4mim_jax.config.errors import InputError
from s4mim_jax.pretrained import import_variables
from s4mim_jax.pretrained.readers import PACKAGED
from s4mim_jax.runs.weights_file import write_run_weights


def flat(variables):
    return {path: np.asarray(array) for path, array in traverse_util.flatten_dict(dict(variables), sep='/').items()}


@pytest.mark.parametrize('half', [False, True])
def test_the_file_brings_the_teachers_network(tmp_path, tmp_path_factory, half):
    run, config, state = tiny_run.shared(tmp_path_factory)
    file = tmp_path / 'network.safetensors'
    write_run_weights(str(run), str(file), half)
    found, stored = flat(import_variables(str(file), config.model, tiny.CLASSES)), flat(state.variables('teacher'))
    assert found.keys() == stored.keys()
    for path, array in stored.items():
        expected = array.astype(np.float16) if half and path.endswith('kernel') else array
        np.testing.assert_array_equal(found[path], expected.astype(np.float32), err_msg=path)


def test_with_other_classes_the_last_layer_alone_is_drawn(tmp_path, tmp_path_factory):
    run, config, state = tiny_run.shared(tmp_path_factory)
    file = tmp_path / 'network.npz'
    write_run_weights(str(run), str(file))
    told = []
    found = flat(import_variables(str(file), config.model, tiny.CLASSES + 2, say=told.append))
    stored = flat(state.variables('teacher'))
    differ = {path for path in stored if found[path].shape != stored[path].shape or (found[path] != stored[path]).any()}
    assert {path.split('/')[2] for path in differ} == {'classifier'} and 'but for the last layer' in told[0]


def test_another_width_is_refused_by_its_key(tmp_path, tmp_path_factory):
    run, config, _ = tiny_run.shared(tmp_path_factory)
    file = tmp_path / 'network.npz'
    write_run_weights(str(run), str(file))
    other = config.model.copy_and_resolve_references()
    other.width = 12
    with pytest.raises(InputError, match=r'width=8.*\n.*--config.model.width=8'):
        import_variables(str(file), other, tiny.CLASSES)


def test_the_packaged_start_fits_its_config_and_is_small():
    path, = PACKAGED.values()
    assert path.stat().st_size < 2e6
    config = load_config('configs/shapes_start.py:supervised', [])
    found = flat(import_variables(config.model.pretrained, config.model, 10))
    drawn = flat(models.init_variables(models.build(config.model, 10), jax.random.key(0)))
    assert found.keys() == drawn.keys()
    taken = {path for path in found if (found[path] != drawn[path]).any()}
    assert {path for path in found if path.endswith('kernel')} - taken <= {'params/decoder/classifier/kernel'}


@pytest.mark.parametrize('key, value', [('output_stride', 8), ('unet_widths', (32, 16, 8))])
def test_the_packaged_start_brings_its_encoder_to_a_decoder_of_other_shapes_and_says_so(key, value):
    config, said = load_config('configs/shapes_start.py:supervised', []).model, []
    config[key] = value
    found = flat(import_variables(config.pretrained, config, 10, say=said.append))
    drawn = flat(models.init_variables(models.build(config, 10), jax.random.key(0)))
    taken = {path.split('/')[1] for path in found if path.endswith('kernel') and (found[path] != drawn[path]).any()}
    assert taken == {'encoder'}
    assert 'its decoder unet of 38 classes is not: at this output_stride, or with these widths' in said[0]


def test_a_file_of_ones_own_whose_decoder_has_other_shapes_is_refused(tmp_path):
    path, = PACKAGED.values()
    config = load_config('configs/shapes_start.py:supervised', []).model
    config.output_stride = 8
    with pytest.raises(InputError, match='mis-shaped'):
        import_variables(str(path), config, 10)
