"""The ideas of docs/new_idea.md, typed from the page into a folder of their own: they train, and need nothing else."""

import importlib
import json
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
import tiny_network

from s4mim_jax import terms
from s4mim_jax.config.command_line import load_config
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.extensions import module_names
from s4mim_jax.config.validation import validate
from s4mim_jax.parallel import make_mesh
from s4mim_jax.runs import run_folder
from s4mim_jax.runs.checkpoints import Checkpoints
from s4mim_jax.training import create_state, make_train_step
from s4mim_jax.training.passes import passes_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs' / 'new_idea.md').read_text()
FILES = dict(re.findall(r'```python\n# (ideas/\w+\.py)\n(.*?)```', PAGE, re.DOTALL))
ARGUMENTS = {re.search(r'modules=ideas\.(\w+)', text)[1]: text
             for text in re.findall(r'^    --config=configs/(\S+)$', PAGE, re.MULTILINE)}
THRESHOLD = 'adaptive_threshold'


@pytest.fixture(autouse=True)
def ideas(tmp_path, monkeypatch):
    """The page's files in a package that is on the path, and the small network."""
    tiny_network.replace(monkeypatch)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield tmp_path
    for name in [n for n in sys.modules if n.partition('.')[0] == 'ideas']:
        del sys.modules[name]


def config_of(name, batch=4, **changes):
    config = load_config(f'{ROOT}/configs/{ARGUMENTS[name]}', [
        ('data.crop', '(32, 32)'), ('model.output_stride', '8'), ('method.tau', '0.21'), ('total_steps', '10'),
        ('batch.labeled', str(batch)), ('batch.unlabeled', str(batch)), ('optimizer.name', 'sgd'),
        ('method.teacher.scales', '(1.0,)'), ('views.jitter_probability', '0.0'), ('views.blur_probability', '0.0'),
        *changes.items()])
    validate(config)
    return config


def train(config, mesh=None, steps=3):
    state, step = create_state(config, tiny.CLASSES, mesh), make_train_step(config, tiny.CLASSES, mesh)
    for number in range(steps):
        state, metrics = step(state, tiny.batch(config, number))
    return jax.device_get(state), jax.device_get(metrics)


def test_the_page_has_three_ideas():
    assert {Path(name).stem for name in FILES} == set(ARGUMENTS) == {'entropy', 'second_mask', THRESHOLD}


@pytest.mark.parametrize('name', ['entropy', 'second_mask', THRESHOLD])
def test_an_idea_of_the_page_trains_three_steps(name):
    config = config_of(name)
    state, metrics = train(config)
    assert int(state.step) == 3 and float(metrics[f'loss/{name}'].total) > 1e-3
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state, metrics)))
    if name == THRESHOLD:
        sure = state.terms[name]['sure']
        assert sure != np.float32(1 / tiny.CLASSES) and state.terms[name]['share'].sum() == pytest.approx(1, abs=1e-4)
    else:
        assert state.terms == {}


def test_a_second_mask_is_a_view_of_its_own_that_no_other_term_decodes():
    config = config_of('second_mask')
    assert passes_of(config.method).masked == ('w_masked', 'w_masked_again')
    assert config.method.masks.w_again_ratio == 0.7 and config.method.masks.w_again_kind == 'grid'
    both = load_config(f'{ROOT}/configs/shapes.py:s4mim,modules=ideas.second_mask,second_mask=0.25', [])
    assert passes_of(both.method).masked == ('x_masked', 'w_masked', 's1_masked', 'w_masked_again')
    decoded = terms.TERMS['class_wise_mim'].copies(both.method)
    assert [row.name for row in decoded] == ['x_masked', 'w_masked', 's1_masked']
    off = load_config(f'{ROOT}/configs/shapes.py:fixmatch,modules=ideas.second_mask', [])
    assert not passes_of(off.method).masked


def test_the_threshold_is_the_running_mean_of_the_page(monkeypatch):
    """After one step from 1/C: decay * 1/C + (1 - decay) * the mean confidence of the valid pixels."""
    config = config_of(THRESHOLD, **{'method.adaptive_threshold_decay': '0.75'})
    state = create_state(config, tiny.CLASSES)
    batch = tiny.batch(config)
    module, seen = sys.modules[f'ideas.{THRESHOLD}'], []
    update = module.update
    monkeypatch.setattr(module, 'update', lambda forward, state: seen.append(1) or update(forward, state))
    confident = jax.jit(lambda s, b: make_train_step(config, tiny.CLASSES)(s, b)[0].terms)(state, batch)[THRESHOLD]
    assert seen
    mean = (float(confident['sure']) - 0.75 / tiny.CLASSES) / 0.25
    assert 1 / tiny.CLASSES < mean < 1


@pytest.mark.slow
def test_a_state_is_the_same_on_one_and_eight_devices_and_in_both_partitions():
    changes = {'method.adaptive_threshold_decay': '0.5', 'optimizer.learning_rate': '0.001'}
    one, _ = train(config_of(THRESHOLD, 8, **changes))
    for partition in ('jit', 'shard_map'):
        config = config_of(THRESHOLD, 8, **changes, partition=partition)
        other, _ = train(config, make_mesh(config))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3), one.terms, other.terms)


def test_a_state_is_in_the_checkpoint_and_one_from_before_begins_anew(tmp_path):
    config = config_of(THRESHOLD)
    mesh = make_mesh(config, jax.devices()[:1])
    state = create_state(config, tiny.CLASSES, mesh)
    moved = state.replace(step=state.step + 3, terms=jax.tree.map(lambda x: x + 0.125, state.terms))
    for folder, saved, expected in (('with', moved, moved), ('before', moved.replace(terms={}), state)):
        checkpoints = Checkpoints(tmp_path / folder)
        checkpoints.save(saved, {'best_step': 3})
        checkpoints.wait()
        restored, _ = checkpoints.restore(config, tiny.CLASSES, mesh)
        checkpoints.close()
        assert int(restored.step) == 3
        jax.tree.map(np.testing.assert_array_equal, restored.terms, expected.terms)
        jax.tree.map(np.testing.assert_array_equal, restored.params, moved.params)


def test_a_run_folder_brings_its_ideas(tmp_path):
    config = config_of(THRESHOLD, **{'method.adaptive_threshold_schedule': '((0.1, 0.0), (0.5, 1.0))'})
    run_folder.write_json(tmp_path / 'config.json', json.loads(config.to_json_best_effort()))
    found = run_folder.read_config(tmp_path)
    assert found.method.adaptive_threshold == 0.5 and THRESHOLD in terms.active(found.method)
    assert run_folder._flat(found.to_dict()) == run_folder._flat(config.to_dict())  # as a resumed run compares them


@pytest.mark.parametrize('argument, message', [
    ('modules=ideas.nothing', 'ideas.nothing cannot be imported'),
    ('modules=json', 'json has neither a function loss'),
    ('modules=ideas.entropy+other.entropy', 'two modules are named entropy'),
    ('modules=ideas.tau', "tau: two terms have a key of this name"),
    ('entropy=0.1', "unknown config key 'entropy'"),
])
def test_a_module_that_is_no_idea_is_refused(ideas, argument, message):
    (ideas / 'ideas' / 'tau.py').write_text(FILES['ideas/entropy.py'])
    with pytest.raises(InputError, match=re.escape(message)):
        load_config(f'{ROOT}/configs/shapes.py:fixmatch,{argument}', [])


def test_modules_as_a_flag_come_before_the_keys_that_they_bring():
    config = load_config(f'{ROOT}/configs/shapes.py:fixmatch', [
        ('method.entropy', '0.25'), ('method.modules', 'ideas.entropy+ideas.second_mask')])
    assert config.method.entropy == 0.25 and tuple(config.method.modules) == ('ideas.entropy', 'ideas.second_mask')
    assert module_names("('a.b', 'c')") == module_names('a.b+c') == ('a.b', 'c') and module_names('') == ()


def test_a_view_that_no_row_has_is_refused_by_name(ideas):
    (ideas / 'ideas' / 'lost.py').write_text(FILES['ideas/entropy.py'].replace("('w',)", "('q',)"))
    config = load_config(f'{ROOT}/configs/shapes.py:fixmatch,modules=ideas.lost,lost=1', [])
    with pytest.raises(InputError, match="lost needs the view 'q'"):
        validate(config)


def test_gradients_by_term_are_those_of_the_weighted_terms():
    """With one term the norm is that of the whole gradient; with two the triangle holds, and weight 2 doubles it."""
    def norms(argument, **changes):
        config = tiny.config(argument, crop=(32, 32), batch=2, model__output_stride=8, log__gradients=True, **changes)
        state = create_state(config, tiny.CLASSES)
        metrics = make_train_step(config, tiny.CLASSES)(state, tiny.batch(config))[1]
        return {name: float(m.total) / int(m.count) for name, m in metrics.items() if 'gradient' in name}

    alone, doubled = norms('supervised'), norms('supervised', method__supervised=2.0)
    assert alone['gradient/supervised'] == pytest.approx(alone['gradient_norm'], rel=1e-5)
    assert 0 < alone['gradient/supervised/encoder'] < alone['gradient/supervised']
    assert doubled['gradient/supervised'] == pytest.approx(2 * alone['gradient/supervised'], rel=1e-4)
    assert doubled['gradient_norm'] == pytest.approx(doubled['gradient/supervised'], rel=1e-5)
    assert jnp.isfinite(alone['gradient_norm'])
