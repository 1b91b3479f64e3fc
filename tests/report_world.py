"""Run folders in the documented format, written by hand, for tests of the report."""

import json

import numpy as np
import pytest
import tiny_run

from s4mim_jax.reporting import run_files
from s4mim_jax.reporting.groups import make_groups

CLASSES = ['road', 'sky', 'never']
PROTOCOL = {'mode': 'whole', 'scored_at': 'own size'}
# Pseudo-labels that can be checked: (value at step 0, change in 100 steps).
MOVES = {'accuracy': (0.5, 0.05), 'accuracy_kept': (0.8, 0.02), 'accuracy_rejected': (0.4, -0.05),
         'agreement': (0.9, -0.1)}


def known(key, step, seed):
    first, change = MOVES[key]
    return first + change * step / 100 + seed / 100


def make(path, method='unimatch', seed=0, test=None, steps=(100, 200, 300), total=300, cost=None, watch=False,
         file='test-best-teacher', protocol=PROTOCOL, hidden=False, **settings):
    """A run folder as train and evaluate would leave it; returns (path, its val mIoU).

    hidden: masks of the unlabelled images are known, so their pseudo-labels have an accuracy. Numbers move by `MOVES`
    from step to step and by .01 a seed.
    """
    config = json.loads(tiny_run.config('/nowhere').to_json_best_effort())
    config |= {'seed': seed, 'total_steps': total}
    config['method']['name'] = method
    for key, value in settings.items():
        group, _, name = key.partition('__')
        config[group][name] = value
    rng = np.random.default_rng([seed, len(method)])
    lines, scores = [], rng.uniform(0.2, 0.6, len(steps)).tolist()
    for step, score in zip(steps, scores):
        train = {'loss': 1 / step, 'loss/supervised': 2 / step, 'pseudo_label/kept': step / 1000,
                 'pseudo_label/accuracy_kept': None}
        if hidden:
            train |= {f'pseudo_label/{key}': known(key, step, seed) for key in MOVES}
        lines.append({'step': step, 'split': 'train', **train})
        lines.append({'step': step, 'split': 'val', 'weights': 'teacher', 'miou': score,
                      'iou/road': score + 0.1, 'iou/sky': score - 0.1, 'iou/never': None})
        if watch:
            lines.append({'step': step, 'split': 'watch', 'kept/road': 0.5 + seed / 10, 'kept/sky': 0.25,
                          'accuracy_kept/road': 0.75, 'accuracy_kept/sky': None})
        if watch and hidden:
            lines[-1] |= {f'{key}/road': known(key, step, seed) for key in MOVES}
            lines[-1] |= {f'{key}/sky': known(key, step, -seed) for key in MOVES} | {'accuracy_rejected/sky': None}
            lines[-1] |= {f'{key}/never': None for key in ('kept', *MOVES)}
    path.mkdir(parents=True)
    (path / 'config.json').write_text(json.dumps(config))
    (path / 'run.json').write_text(json.dumps({
        'classes': CLASSES, 'palette': [[0, 0, 0]] * 3, 'git': 'a' * 40, 'devices': {'kind': 'cpu', 'count': 1},
        'split': {'name': config['data']['split'], 'labeled': 23, 'unlabeled': 344}}))
    (path / 'metrics.jsonl').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    if test is not None:
        (path / 'eval').mkdir()
        best = steps[int(np.argmax(scores))]
        (path / f'eval/{file}.json').write_text(json.dumps({
            'miou': test, 'iou': {'road': test + 0.2, 'sky': test - 0.2, 'never': None}, 'pixel_accuracy': 0.9,
            'step': best, 'weights': 'teacher', 'protocol': protocol, 'images': 5}))
    if cost is not None:
        (path / 'cost.json').write_text(json.dumps(cost))
    return path, scores


@pytest.fixture
def world(tmp_path):
    """supervised with seeds 0-2, unimatch with 1-3; (folder, val scores, test scores), both {method: {seed: ...}}."""
    val, test = {}, {}
    for method, seeds in (('supervised', (0, 1, 2)), ('unimatch', (1, 2, 3))):
        test[method] = {seed: 0.3 + 0.01 * seed**2 + 0.1 * (method == 'unimatch') for seed in seeds}
        val[method] = {seed: make(tmp_path / 'runs' / method / f'seed{seed}', method, seed, test[method][seed],
                                  watch=method == 'unimatch')[1] for seed in seeds}
    return tmp_path / 'runs', val, test


def groups_of(*folders):
    paths, problems = run_files.find_runs([str(folder) for folder in folders])
    assert not problems
    return make_groups([run_files.read_run(path)[0] for path in paths])


def text(values):
    return f'{100 * np.mean(values):.2f} ± {100 * np.std(values, ddof=1):.2f}'
