"""The evaluator against NumPy, its devices, and the evaluate command on a run folder."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_run
from fork_server import QUICK_COMPILES
from PIL import Image

from s4mim_jax import data, evaluation, views
from s4mim_jax.config import base
from s4mim_jax.config.errors import InputError
from s4mim_jax.evaluate import evaluate_run
from s4mim_jax.evaluation.results import format_table, write_result
from s4mim_jax.models.resize import resize_bilinear

CLASSES = tiny_run.CLASSES
WEIGHTS = np.random.default_rng(5).normal(size=(3, len(CLASSES))).astype(np.float32)


def per_pixel(variables, images):
    return jax.nn.relu(images) @ variables


def batches(sizes, network=(12, 16), canvas=(64, 64), rows=4, seed=0):
    """As the evaluation stream makes them: the last batch is filled up with invalid rows."""
    rng = np.random.default_rng(seed)
    for start in range(0, len(sizes), rows):
        part = sizes[start:start + rows]
        label = np.full((rows, *canvas), 255, np.uint8)
        for row, (height, width) in enumerate(part):
            label[row, :height, :width] = rng.choice([0, 1, 2, 3, 255], (height, width))
        own = np.zeros((rows, 2), np.int32)
        own[:len(part)] = part
        image = rng.integers(0, 256, (rows, *network, 3), dtype=np.uint8)
        yield {'image': image, 'label': label, 'size': own, 'valid': np.arange(rows) < len(part),
               'id': ['x'] * rows}


def expected_confusion(stream):
    total = np.zeros((len(CLASSES),) * 2, np.int64)
    for batch in stream:
        logits = per_pixel(WEIGHTS, views.normalize(jnp.asarray(batch['image'])))
        for row in np.flatnonzero(batch['valid']):
            height, width = batch['size'][row].tolist()
            ids = np.argmax(resize_bilinear(logits[row:row + 1], (height, width), False)[0], -1)
            label = batch['label'][row, :height, :width]
            np.add.at(total, (label[label != 255], ids[label != 255]), 1)
    return total


def test_evaluator_counts_every_image_once_at_its_own_size():
    sizes = [(20, 30), (64, 64), (5, 7), (40, 21), (33, 3)]
    config = base()
    seen = []
    evaluator = evaluation.make_evaluator(config, CLASSES, apply_fn=per_pixel)
    result = evaluator(WEIGHTS, batches(sizes), step=7, weights='teacher', progress=seen.append)
    assert list(result) == ['miou', 'iou', 'pixel_accuracy', 'step', 'weights', 'protocol', 'images']
    expected = evaluation.scores(expected_confusion(batches(sizes)), CLASSES)
    assert {key: result[key] for key in expected} == expected
    assert (result['step'], result['weights'], result['images'], seen) == (7, 'teacher', 5, [4, 5])
    assert result['protocol']['mode'] == 'whole' and result['protocol']['scored_at'] == 'own size'
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize('shape, axes', [((8,), ('data',)), ((2, 3), ('data', 'fsdp'))])
def test_devices_share_the_work_also_when_they_do_not_divide_the_batch(shape, axes):
    sizes = [(20, 30), (33, 64), (5, 7), (40, 21), (33, 3)]
    count = int(np.prod(shape))
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:count]).reshape(shape), axes)
    one = evaluation.evaluate(per_pixel, WEIGHTS, batches(sizes), base(), CLASSES)
    assert evaluation.evaluate(per_pixel, WEIGHTS, batches(sizes), base(), CLASSES, mesh=mesh) == one


def test_center_crop_scores_less_and_sliding_says_so():
    config = base()
    config.eval.mode, config.eval.window = 'center_crop', (6, 8)
    stream = list(batches([(24, 32)] * 4, canvas=(24, 32)))
    cut = [{**batch, 'label': np.full_like(batch['label'], 255)} for batch in stream]
    for batch, whole in zip(cut, stream):
        batch['label'][:, 6:18, 8:24] = whole['label'][:, 6:18, 8:24]
    middle = evaluation.evaluate(per_pixel, WEIGHTS, stream, config, CLASSES)
    config.eval.mode = 'whole'
    # The same pixels count; at the window's rim interpolation ends.
    assert middle['pixel_accuracy'] == pytest.approx(
        evaluation.evaluate(per_pixel, WEIGHTS, cut, config, CLASSES)['pixel_accuracy'], abs=0.02)
    assert middle['protocol']['window'] == [6, 8] and 'stride' not in middle['protocol']
    config.eval.mode = 'sliding'
    result = evaluation.evaluate(per_pixel, WEIGHTS, stream, config, CLASSES)
    assert result['protocol']['stride'] == [4, 5]


def test_nothing_to_score_is_an_error():
    stream = [{**batch, 'label': np.full_like(batch['label'], 255)} for batch in batches([(9, 9)])]
    with pytest.raises(InputError, match='no pixel to score: the 1 images'):
        evaluation.evaluate(per_pixel, WEIGHTS, stream, base(), CLASSES)


def test_result_files_and_table(tmp_path):
    result = {'miou': 0.5, 'iou': {'road': 0.75, 'a long name': 0.25, 'never': None}, 'pixel_accuracy': 0.875,
              'step': 5, 'weights': 'student', 'protocol': {}, 'images': 3}
    last, named = write_result(tmp_path, 'val', 'best', result)
    assert (last.name, named.name) == ('val.json', 'val-best-student.json')
    assert json.loads(last.read_text()) == json.loads(named.read_text()) == result
    assert sorted(p.name for p in (tmp_path / 'eval').iterdir()) == ['val-best-student.json', 'val.json']
    lines = format_table(result).splitlines()
    assert any(line.startswith('road') and '75.00' in line and '#' * 15 in line for line in lines)
    assert any(line.startswith('never') and 'absent' in line for line in lines)
    assert any(line.startswith('mean IoU') and '50.00' in line for line in lines)
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputError, match='cannot be written'):
        write_result(tmp_path / 'file', 'val', 'best', result)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return tiny_run.shared(tmp_path_factory)


def reference(config, state, weights, split='test'):
    """Confusion of a run's network, image by image, with the steps of evaluation spelt out."""
    source = data.open_source(config.data)
    apply_fn = evaluation.network(config, len(CLASSES))
    total = np.zeros((len(CLASSES),) * 2, np.int64)
    look = jax.jit(apply_fn)
    for sample in source.splits[split]:
        image, mask = Image.open(sample.image), np.asarray(Image.open(sample.mask))
        small = np.asarray(image.resize(tuple(config.data.resize)[::-1], Image.Resampling.BILINEAR))[None]
        logits = look(state.variables(weights), views.normalize(jnp.asarray(small)))
        ids = np.argmax(resize_bilinear(logits, mask.shape, config.model.align_corners)[0], -1)
        np.add.at(total, (mask[mask != 255], ids[mask != 255]), 1)
    return total


def test_evaluate_a_run(run, capsys):
    workdir, config, state = run
    result = evaluate_run(workdir)
    teacher = reference(config, state, 'teacher')
    assert result['miou'] == pytest.approx(evaluation.scores(teacher, CLASSES)['miou'], abs=1e-3)
    assert (result['step'], result['weights'], result['images']) == (3, 'teacher', 5)
    assert json.loads((workdir / 'eval/test.json').read_text()) == result
    assert json.loads((workdir / 'eval/test-best-teacher.json').read_text()) == result
    assert 'class3' in capsys.readouterr().out
    student = evaluate_run(workdir, checkpoint='3', weights='student', overrides=[('eval.mode', 'sliding')])
    assert student['miou'] != result['miou'] and student['weights'] == 'student'
    assert student['protocol']['mode'] == 'sliding'
    assert json.loads((workdir / 'eval/test-3-student.json').read_text()) == student
    assert json.loads((workdir / 'eval/test.json').read_text()) == student  # the last one asked for


def command(*arguments):
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': QUICK_COMPILES}
    return subprocess.run([sys.executable, '-m', 's4mim_jax.evaluate', *arguments], env=environment,
                          text=True, capture_output=True, timeout=300)


def test_command_line(run):
    workdir, _, _ = run
    done = command(f'--workdir={workdir}', '--split=val', '--checkpoint=best,latest', '--weights=student,teacher')
    assert done.returncode == 0, done.stderr
    assert 'mean IoU' in done.stdout and 'val-latest-teacher.json' in done.stdout
    scored = {(c, w): json.loads((workdir / f'eval/val-{c}-{w}.json').read_text())['miou']
              for c in ('best', 'latest') for w in ('student', 'teacher')}
    table = [line.split() for line in done.stdout.splitlines()[-4:]]
    assert [(c, w, rate) for c, _, w, rate in table] == [(c, w, f'{100 * rate:.2f}') for (c, w), rate in scored.items()]
    assert {step for _, step, _, _ in table} == {'3'}
    wrong = command(f'--workdir={workdir}', '--split=validation')
    assert wrong.returncode == 2 and "'validation'" in wrong.stderr and 'Traceback' not in wrong.stderr


@pytest.mark.parametrize('arguments, message', [
    ({'checkpoint': '77'}, '77.*\n.*best, latest, 3'),
    ({'weights': 'both'}, 'both.*teacher'),
    ({'split': 'dev'}, 'dev'),
    ({'overrides': [('eval.mode', 'tiles')]}, 'tiles'),
    ({'overrides': [('eval.mod', 'whole')]}, 'eval.mod'),
    ({'overrides': [('model.width', '16')]}, 'another model'),
])
def test_bad_input(run, arguments, message):
    with pytest.raises(InputError, match=f'(?s){message}'):
        evaluate_run(run[0], **arguments)


def test_no_run_and_other_classes(run, tmp_path):
    with pytest.raises(InputError, match='config.json'):
        evaluate_run(tmp_path)
    other = tiny_run.dataset(tmp_path / 'other')
    (other / 'classes.txt').write_text(''.join(f'{i} thing{i}\n' for i in range(5)))
    with pytest.raises(InputError, match='(?s)are not the 5 of the run.*class0.*thing0'):
        evaluate_run(run[0], overrides=[('data.dir', str(other))])
