"""Exported models: they predict what their run predicts, and need neither its config nor the networks' code."""

import json
import os
import subprocess
import sys

import jax.export
import numpy as np
import pytest
import tiny
import tiny_network
import tiny_run
from fork_server import QUICK_COMPILES
from PIL import Image
from safetensors.numpy import load_file

import s4mim_jax
from s4mim_jax.config.errors import InputError
from s4mim_jax.evaluation import make_evaluator
from s4mim_jax.export import export_run

SIZES = ((40, 48), (33, 50), (64, 35), (130, 20))


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return tiny_run.shared(tmp_path_factory)[0]


@pytest.fixture(scope='module')
def exported(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp('export') / 'model'
    return folder, export_run(run, folder)


def pictures():
    draw = np.random.default_rng(1)
    return [np.asarray(Image.fromarray(draw.integers(0, 256, (6, 7, 3), dtype=np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC)) for height, width in SIZES]


def test_a_round_trip_gives_identical_class_maps(run, exported):
    folder, _ = exported
    ours, theirs = s4mim_jax.load(run), s4mim_jax.load(folder)
    assert (theirs.classes, theirs.step, theirs.weights, theirs.config) == (ours.classes, 3, 'teacher', None)
    for (ids, top), (other, probability) in zip(ours.predict(pictures(), True), theirs.predict(pictures(), True)):
        np.testing.assert_array_equal(ids, other)
        np.testing.assert_allclose(top, probability, atol=1e-6)
    assert len(np.unique(ids)) > 1
    np.testing.assert_array_equal(theirs(pictures()[0]), ours(pictures()[0]))


def test_sliding_windows_take_any_size(run, tmp_path):
    overrides = [('eval.mode', 'sliding'), ('eval.window', '(24, 24)'), ('data.resize', 'None')]
    model = export_run(run, tmp_path / 'model', weights='student', overrides=overrides)
    assert [entry['size'] for entry in model['networks']] == [[24, 24]] and model['weights'] == 'student'
    ours, theirs = s4mim_jax.load(run, 'best', 'student', overrides), s4mim_jax.load(tmp_path / 'model')
    for ids, other in zip(ours(pictures()), theirs(pictures())):
        np.testing.assert_array_equal(ids, other)


def test_the_artefact_needs_jax_and_a_reader_of_safetensors_alone(exported):
    """What a stranger does: no import of this package, any number of images."""
    folder, model = exported
    entry, = model['networks']
    assert entry['size'] == [32, 48] and entry['platform'] == 'cpu'
    code = f'''
import sys
import jax, numpy as np
from safetensors.numpy import load_file
see = jax.export.deserialize(bytearray(open({str(folder / entry["file"])!r}, 'rb').read()))
weights = load_file({str(folder / "weights.safetensors")!r})
for count in (1, 3):
    values = see.call(weights, np.zeros((count, 32, 48, 3), np.uint8))
    assert values.shape == (count, 32, 48, 5) and np.isfinite(values).all(), values.shape
assert not any(name.startswith(('s4mim_jax', 'flax', 'orbax')) for name in sys.modules)
'''
    done = subprocess.run([sys.executable, '-c', code.replace('import jax,', 'import jax, jax.export,')], text=True,
                          capture_output=True, timeout=300,
                          env=os.environ | {'XLA_FLAGS': QUICK_COMPILES, 'PYTHONPATH': ''})
    assert done.returncode == 0, done.stderr
    total = sum(array.size for array in load_file(folder / 'weights.safetensors').values())
    assert total > 10_000 and not any('pixel_decoder' in name for name in load_file(folder / 'weights.safetensors'))


def test_the_pixel_decoder_stays_behind(tmp_path, monkeypatch):
    """A run that trained one: neither checkpoint nor export gives it, and nobody misses it."""
    tiny_network.replace(monkeypatch)
    states, data = {}, tiny_run.dataset(tmp_path / 'data', sizes=((40, 48),) * 2)
    for name, method in (('with', 'union'), ('without', 'union,class_wise_mim=0')):
        config = tiny.config(method, crop=(32, 32), batch=2, model__output_stride=8)
        config.data.update(name='folder', dir=str(data), resize=(32, 48))
        states[name] = tiny_run.make(tmp_path / name, config)
    assert 'pixel_decoder' in states['with'].params and 'pixel_decoder' not in states['without'].params
    for kind in ('teacher', 'student'):
        folder = tmp_path / f'{kind}_model'
        entry, = export_run(tmp_path / 'with', folder, weights=kind)['networks']
        stored = load_file(folder / 'weights.safetensors')
        parts = {name.split('/')[1] for name in stored if name.startswith('params/')}
        assert parts == {'encoder', 'decoder'} and not any('pixel_decoder' in name for name in stored)
        network = jax.export.deserialize(bytearray((folder / entry['file']).read_bytes()))
        (arguments, _), _ = jax.tree.unflatten(network.in_tree, range(network.in_tree.num_leaves))
        assert set(arguments) == set(stored)
        runs = [s4mim_jax.load(folder), *(s4mim_jax.load(tmp_path / name, weights=kind) for name in states)]
        (ids, top), *others = (predictor.predict(pictures()[:1], True)[0] for predictor in runs)
        assert len(np.unique(ids)) > 1 and {predictor.weights for predictor in runs} == {kind}
        for other, probability in others:
            np.testing.assert_array_equal(ids, other)
            np.testing.assert_allclose(top, probability, atol=1e-6)
    state = states['with']
    batch = {'image': np.stack(pictures()[:1]), 'label': np.zeros((1, 40, 48), np.uint8),
             'size': np.array([[40, 48]], np.int32), 'valid': np.ones(1, bool)}
    evaluator = make_evaluator(config, tiny_run.CLASSES)
    scores = [evaluator({'params': params, 'batch_stats': state.batch_stats}, [batch])
              for params in (state.params, state.variables()['params'])]
    assert scores[0] == scores[1] and scores[0]['pixel_accuracy'] > 0


def test_model_json_says_what_it_is(exported, run):
    folder, model = exported
    stored = json.loads((folder / 'model.json').read_text())
    assert stored == json.loads(json.dumps(model))
    assert stored['classes'] == list(tiny_run.CLASSES) and len(stored['palette']) == 5
    assert stored['settings']['resize'] == [32, 48] and stored['settings']['protocol']['mode'] == 'whole'
    np.testing.assert_allclose(stored['settings']['protocol']['mean'], (0.485, 0.456, 0.406))
    assert stored['run']['config_hash'] == json.loads((run / 'run.json').read_text())['config_hash']


def test_sizes_are_those_asked_for_or_those_of_the_run(run, tmp_path):
    whole = [('data.resize', 'None')]
    with pytest.raises(InputError, match='(?s)many sizes.*--sizes=480x640'):
        export_run(run, tmp_path / 'model', overrides=whole)
    model = export_run(run, tmp_path / 'model', overrides=whole, sizes=[(40, 48), (33, 50)])
    assert [entry['size'] for entry in model['networks']] == [[40, 48], [33, 50]]
    predictor = s4mim_jax.load(tmp_path / 'model')
    expected = s4mim_jax.load(run, overrides=whole)(pictures()[:2])
    assert all((a == b).all() for a, b in zip(predictor(pictures()[:2]), expected))
    with pytest.raises(InputError, match='(?s)64 x 35 .*exported for 33 x 50, 40 x 48.*--sizes=64x35'):
        predictor(pictures())
    with pytest.raises(InputError, match='--sizes=41x48: .* at 48x48'):
        export_run(run, tmp_path / 'other', overrides=[*whole, ('eval.multiple', '16')], sizes=[(41, 48)])


def test_networks_for_devices_that_are_not_here_are_written_too(run, tmp_path):
    model = export_run(run, tmp_path / 'model', platforms=('cuda', 'tpu', 'cpu'))
    assert [entry['platform'] for entry in model['networks']] == ['gpu', 'tpu', 'cpu']
    for entry, name in zip(model['networks'], ('cuda', 'tpu', 'cpu')):
        network = jax.export.deserialize(bytearray((tmp_path / 'model' / entry['file']).read_bytes()))
        assert network.platforms == (name,)
    assert s4mim_jax.load(tmp_path / 'model')(pictures()[0]).shape == SIZES[0]


@pytest.mark.parametrize('changes, message', [
    ({'platforms': ('vax',)}, "'vax' is unknown\nvalid: cpu, cuda, tpu"),
    ({'checkpoint': '77'}, '77'),
    ({'overrides': [('eval.mode', 'sliding'), ('eval.flip', 'true')]}, 'exported windows are seen once'),
])
def test_what_cannot_be_exported_leaves_nothing(run, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        export_run(run, tmp_path / 'model', **changes)
    assert not list(tmp_path.iterdir())


def test_folders_with_other_things_are_left_alone(run, exported, tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    with pytest.raises(InputError, match='holds something else'):
        export_run(run, tmp_path)
    with pytest.raises(InputError, match='(?s)takes no config.*export the run again'):
        s4mim_jax.load(exported[0], overrides=[('eval.mode', 'sliding')])
    assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']


def test_damaged_exports_are_refused_by_file(exported, tmp_path):
    folder, model = exported
    copy = tmp_path / 'copy'
    (copy / 'networks').mkdir(parents=True)
    (copy / 'model.json').write_text((folder / 'model.json').read_text().replace('model 1', 'model 7'))
    with pytest.raises(InputError, match="model.json: format 's4mim_jax model 7' is unknown"):
        s4mim_jax.load(copy)
    description = (folder / 'model.json').read_text()
    (copy / 'model.json').write_text(description.replace('"platform": "cpu"', '"platform": "tpu"'))
    with pytest.raises(InputError, match='(?s)no network for platform cpu; exported for tpu.*--platforms=cpu'):
        s4mim_jax.load(copy)


@pytest.mark.slow
def test_the_commands_work_together(run, tmp_path):
    environment = os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': QUICK_COMPILES}
    command = lambda *line: subprocess.run([sys.executable, '-m', *line], env=environment, text=True,
                                           capture_output=True, timeout=300)
    done = command('s4mim_jax.export', f'--workdir={run}', f'--output={tmp_path / "model"}', '--weights=student')
    assert done.returncode == 0 and 'student weights of step 3' in done.stdout, done.stderr
    photo = tmp_path / 'photo.png'
    Image.fromarray(pictures()[0]).save(photo)
    for workdir, name in ((run, 'a'), (tmp_path / 'model', 'b')):
        done = command('s4mim_jax.predict', f'--workdir={workdir}', f'--output={tmp_path / name}', '--weights=student',
                       str(photo))
        assert done.returncode == 0, done.stderr
    assert (tmp_path / 'a' / 'photo.png').read_bytes() == (tmp_path / 'b' / 'photo.png').read_bytes()
    wrong = command('s4mim_jax.export', f'--workdir={run}', f'--output={tmp_path / "model"}', '--sizes=big')
    assert wrong.returncode == 2 and '--sizes=big' in wrong.stderr and 'Traceback' not in wrong.stderr
    pseudo = command('s4mim_jax.predict', f'--workdir={tmp_path / "model"}', f'--output={tmp_path / "c"}',
                     '--pseudo_labels')
    assert pseudo.returncode == 2 and 'knows no dataset' in pseudo.stderr
