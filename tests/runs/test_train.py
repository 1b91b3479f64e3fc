"""The command line of training on a small folder dataset: files, resume, signals, bad numbers."""

import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from forked_runs import Starter
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TINY = ['--config.model.width=4', '--config.model.decoder_width=4', '--config.model.low_level_width=2',
        '--config.model.encoder=resnet18', '--config.data.name=folder', '--config.data.split=half',
        '--config.data.crop=(32, 32)', '--config.batch.labeled=2', '--config.batch.unlabeled=2',
        '--config.log.every=2', '--config.log.images=2', '--config.eval.batch=2', '--config.method.tau=0.3']

# For the network of three convolutions, and views that compile soon.
SMALL = ('--config.model.output_stride=8', '--config.views.jitter_probability=0.0',
         '--config.views.blur_probability=0.0')


def make_dataset(folder: Path, classes: int = 3) -> Path:
    draw = np.random.default_rng(0)
    for part, count in (('train', 6), ('val', 3), ('test', 3)):
        for kind in ('images', 'masks'):
            (folder / kind / part).mkdir(parents=True)
        for number in range(count):
            mask = np.repeat(np.repeat(draw.integers(0, classes, (4, 5), dtype=np.uint8), 10, 0), 8, 1)
            image = (mask[..., None] * 90 + draw.integers(0, 60, (*mask.shape, 3))).astype(np.uint8)
            Image.fromarray(image).save(folder / 'images' / part / f'{part}{number}.png')
            Image.fromarray(mask).save(folder / 'masks' / part / f'{part}{number}.png')
    (folder / 'classes.txt').write_text('0 ground\n1 wall\n2 roof\n')
    (folder / 'splits').mkdir()
    (folder / 'splits' / 'half_labeled.txt').write_text('train0\ntrain1\ntrain2')
    (folder / 'splits' / 'half_unlabeled.txt').write_text('train3\ntrain4\ntrain5')
    return folder


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp('dataset'))


@pytest.fixture(scope='module')
def starter():
    with Starter() as starter:
        yield starter


@pytest.fixture(autouse=True)
def ended(starter):
    """Nothing that a failed test started goes on."""
    yield
    if starter.running:
        starter.kill()
        starter.wait()


def arguments(dataset, workdir, *extra, method='unimatch_v2', steps=6, small=SMALL):
    return [f'--config={ROOT}/configs/shapes.py:{method}', f'--workdir={workdir}', f'--config.data.dir={dataset}',
            f'--config.total_steps={steps}', '--config.eval.every=3', '--config.checkpoint.every=2', *TINY,
            *small, *extra]


def run(starter, dataset, workdir, *extra, signal_after=None, **kwargs):
    output = workdir.parent / f'{workdir.name} output'
    output.mkdir(exist_ok=True)
    return starter.run(arguments(dataset, workdir, *extra, **kwargs), output, signal_after)


def lines(workdir):
    return [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]


def parameters(workdir):
    """Every array of the latest checkpoint as bytes, read without the package's own restore."""
    import orbax.checkpoint as ocp
    steps = sorted(int(p.name) for p in (workdir / 'checkpoints').iterdir() if p.name.isdigit())
    result = {}
    import jax
    for item in ('weights', 'optimizer'):
        tree = ocp.PyTreeCheckpointer().restore(workdir.absolute() / 'checkpoints' / str(steps[-1]) / item)
        result |= {f'{item}{jax.tree_util.keystr(k)}': np.asarray(v).tobytes()
                   for k, v in jax.tree_util.tree_leaves_with_path(tree)}
    return steps[-1], result


@pytest.fixture(scope='module')
def finished(dataset, starter, tmp_path_factory):
    """An uninterrupted run with an EMA teacher and BatchNorm."""
    workdir = tmp_path_factory.mktemp('runs') / 'whole'
    done = run(starter, dataset, workdir)
    assert done.returncode == 0, done.stderr
    return workdir, done.stdout


def test_a_run_writes_its_folder(finished):
    workdir, output = finished
    assert 'learning rate' in output and 'reference batch' in output and 'ETA' in output and 'steps/s' in output
    assert {p.name for p in workdir.iterdir()} >= {'config.json', 'run.json', 'metrics.jsonl', 'checkpoints', 'panels'}
    assert any(p.name.startswith('events.out.tfevents') for p in workdir.iterdir())
    record = json.loads((workdir / 'run.json').read_text())
    assert record['classes'] == ['ground', 'wall', 'roof'] and len(record['split']['hash']) == 64
    train = [line for line in lines(workdir) if line['split'] == 'train']
    assert [line['step'] for line in train] == [2, 4, 6]
    assert {'loss', 'loss/supervised', 'loss/consistency', 'pseudo_label/kept', 'pseudo_label/accuracy',
            'learning_rate'} <= train[0].keys()
    scores = [line for line in lines(workdir) if line['split'] == 'val']
    assert [line['step'] for line in scores] == [3, 6] and scores[0]['weights'] == 'teacher'
    with Image.open(workdir / 'panels' / 'unlabeled_000006.png') as panel:
        assert panel.size == (5 * 34, 14 + 2 * 34)  # a line of titles, two images
    weights = json.loads((workdir / 'weights.json').read_text())
    best = next(line for line in scores if line['step'] == weights['step'])
    assert weights['miou']['teacher'] == best['miou'] and set(weights['miou']) == {'teacher', 'student'}
    assert f'predict takes the {weights["better"]}' in output


@pytest.mark.parametrize('after', ['compiled', 'step 2/6', 'step 3 ', 'step 4/6'])
def test_sigkill_and_resume_are_bit_identical(dataset, starter, finished, tmp_path, after):
    workdir = tmp_path / 'killed'
    killed = run(starter, dataset, workdir, signal_after=(signal.SIGKILL, after))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    again = run(starter, dataset, workdir)
    assert again.returncode == 0, again.stderr
    assert parameters(workdir) == parameters(finished[0])
    assert lines(workdir) == lines(finished[0])


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_a_second_run_continues(dataset, starter, tmp_path, number):
    workdir = tmp_path / 'stopped'
    quiet = ('--config.checkpoint.every=0', '--config.eval.every=0', '--config.log.images=0')
    first = run(starter, dataset, workdir, *quiet, steps=100_000, method='supervised', signal_after=(number, 'step 4/'))
    assert first.returncode == 128 + number, first.stderr
    stopped = int(re.search(r'after step (\d+); saved', first.stdout).group(1))
    assert parameters(workdir)[0] == stopped
    again = run(starter, dataset, workdir, *quiet, steps=stopped + 2, method='supervised')
    assert again.returncode == 0 and f'going on from step {stopped}' in again.stdout
    steps = [line['step'] for line in lines(workdir) if line['split'] == 'train']
    assert steps == sorted(set(steps)) and steps[-1] == stopped + 2


def test_a_non_finite_loss_stops_and_keeps_the_last_checkpoint(dataset, starter, tmp_path):
    workdir = tmp_path / 'exploded'
    fine = run(starter, dataset, workdir, steps=4, method='supervised')
    assert fine.returncode == 0, fine.stderr
    before = parameters(workdir)
    wild = run(starter, dataset, workdir, '--config.optimizer.learning_rate=1e38',
               steps=40, method='supervised')
    assert wild.returncode == 3
    assert re.search(r'(loss|_norm)\S* is not finite at step \d+', wild.stderr)
    assert 'Traceback' not in wild.stderr and parameters(workdir)[0] >= before[0]
    kept = [np.frombuffer(v, np.float32) for k, v in parameters(workdir)[1].items() if 'params' in k]
    assert all(np.isfinite(x).all() for x in kept)


def test_seed_decides_everything(dataset, starter, finished, tmp_path):
    same, other = tmp_path / 'same', tmp_path / 'other'
    assert run(starter, dataset, same).returncode == 0
    assert run(starter, dataset, other, '--config.seed=1').returncode == 0
    assert lines(same) == lines(finished[0]) != lines(other)


def test_another_run_is_not_continued_and_not_relabelled(dataset, starter, finished):
    before = {name: (finished[0] / name).read_text() for name in ('config.json', 'run.json', 'metrics.jsonl')}
    for change, key in (('--config.seed=5', 'seed'), ('--config.data.split=all', 'data.split')):
        refused = run(starter, dataset, finished[0], change)
        assert refused.returncode == 2 and 'another run' in refused.stderr and key in refused.stderr
    other = run(starter, dataset, finished[0], method='supervised')
    assert other.returncode == 2 and 'method.name' in other.stderr
    assert before == {name: (finished[0] / name).read_text() for name in before}


def test_a_run_goes_on_with_clipping_and_more_steps(dataset, starter, tmp_path):
    workdir = tmp_path / 'longer'
    assert run(starter, dataset, workdir, '--config.precision=auto', steps=2, method='supervised').returncode == 0
    assert json.loads((workdir / 'config.json').read_text())['precision'] == 'float32'  # what auto means on a CPU
    again = run(starter, dataset, workdir, '--config.optimizer.clip_norm=1.0',
                '--config.optimizer.weight_decay=0.0', '--config.precision=auto', steps=4, method='supervised')
    assert again.returncode == 0 and 'going on from step 2' in again.stdout, again.stderr


def test_a_finished_run_has_nothing_to_do(dataset, starter, finished):
    before = (finished[0] / 'metrics.jsonl').read_text()
    again = run(starter, dataset, finished[0])
    assert again.returncode == 0 and 'nothing to do' in again.stdout
    assert (finished[0] / 'metrics.jsonl').read_text() == before


@pytest.fixture
def real():
    """Starts runs of the real network."""
    with Starter(tiny=False) as starter:
        yield starter


@pytest.mark.slow
def test_union_runs_end_to_end(dataset, real, tmp_path):
    """All four methods in one run: files, pictures of what was masked, counts by class, and a resume."""
    more = ['--config.method.tau=0.2', '--config.method.mim.tau=0.0', '--config.method.selection.refinement=coherence']
    first = run(real, dataset, tmp_path, *more, method='union', steps=3, small=())
    assert first.returncode == 0, first.stderr
    assert 'x_masked, w_masked, s1_masked (6 images encoded, 6 decoded)' in first.stdout
    assert {p.name for p in (tmp_path / 'panels').iterdir()} == {
        'labeled_000003.png', 'unlabeled_000003.png', 'masked_000003.png'}
    lines = [json.loads(line) for line in (tmp_path / 'metrics.jsonl').read_text().splitlines()]
    watched, = [line for line in lines if line['split'] == 'watch']
    assert {'kept/wall', 'agreement/roof', 'accuracy_kept/ground', 'accuracy_rejected/wall'} <= watched.keys()
    stored = json.loads((tmp_path / 'config.json').read_text())
    assert len(stored['method']['selection']['coherence']) == 3
    cost = json.loads((tmp_path / 'cost.json').read_text())
    assert cost['step_seconds'] > 0 and cost['flops'] > 0 and len(cost['passes']) == 4
    again = run(real, dataset, tmp_path, *more, method='union', steps=4, small=())
    assert again.returncode == 0, again.stderr
    assert 'going on from step 3' in again.stdout
    from s4mim_jax.runs import run_folder
    from s4mim_jax.runs.checkpoints import restore_weights
    variables, step, weights = restore_weights(tmp_path, run_folder.read_config(tmp_path), 3, 'latest')
    assert (step, weights) == (4, 'teacher') and set(variables['params']) == {'encoder', 'decoder'}
