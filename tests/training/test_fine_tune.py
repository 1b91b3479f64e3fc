"""model.pretrained=RUN_FOLDER: the network of an earlier run, of the same or of other classes."""

import jax
import numpy as np
import pytest
import tiny
import tiny_run

from s4mim_jax.config.errors import InputError
from s4mim_jax.training import create_state
from s4mim_jax.training.initial import initial_variables


def config_from(run, settings, **changes):
    config = tiny.config('supervised', **changes)
    config.model.update(settings.model.to_dict())
    config.model.pretrained = str(run)
    return config


@pytest.fixture(scope='module')
def earlier(tmp_path_factory):
    return tiny_run.shared(tmp_path_factory)


def test_same_classes_begin_with_the_teacher_of_the_run(earlier):
    run, settings, state = earlier
    variables = initial_variables(config_from(run, settings), tiny.CLASSES)
    jax.tree.map(np.testing.assert_array_equal, variables, {k: state.ema[k] for k in variables})


def test_other_classes_draw_the_last_layer_alone(earlier):
    run, settings, state = earlier
    config = config_from(run, settings)
    params = create_state(config, 3).params
    changed = [path for (path, new), old in zip(jax.tree_util.tree_leaves_with_path(params),
                                                jax.tree.leaves(state.ema['params']))
               if new.shape != old.shape or not np.array_equal(new, old)]
    assert len(changed) == 2, changed  # kernel and bias of the classifier
    assert all(leaf.shape[-1] == 3 for path, leaf in jax.tree_util.tree_leaves_with_path(params) if path in changed)


def test_another_network_is_refused_by_name(earlier):
    run, settings, _ = earlier
    config = config_from(run, settings)
    config.model.width = 16
    with pytest.raises(InputError, match=r'its network is another one.*\n.*stored .*config .*\n.*width 8'):
        initial_variables(config, tiny.CLASSES)


def test_a_folder_that_is_no_run_is_refused(tmp_path, earlier):
    _, settings, _ = earlier
    with pytest.raises(InputError, match='config.json'):
        initial_variables(config_from(tmp_path, settings), tiny.CLASSES)
