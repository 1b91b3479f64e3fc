"""What `fit` reaches, beside the configs of this project that were set by hand.

    python benchmarks/fit.py --dataset=camvid FIT_FOLDER    # adds the outcome to benchmarks/results/fit.json
    python benchmarks/fit.py                                # the table of docs/fit.md from that file

FIT_FOLDER is the output of `python -m s4mim_jax.fit`. `--hand=RUN` names the evaluated run of the config that was set
by hand, where its score is not in a results file already. Datasets and weights are named, never located.
"""

import argparse
import json
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / 'results'
ANIMALS = ('background', 'cat', 'cow', 'dog', 'horse', 'person', 'sheep')  # the classes that are frequent in it
# dataset -> what was set by hand, the split that is compared, and the classes of the mean (None = all).
HAND = {
    'shapes': ('configs/shapes_start.py:fixmatch', 'test', None),
    'camvid': ('configs/camvid.py:fixmatch_ema', 'test', None),
    'voc_animals': ('configs/voc.py:supervised', 'val', ANIMALS),
    'gray': ('configs/shapes_start.py:fixmatch_ema', 'test', None),
}
POINT = 0.01  # by which fit may stay behind


def mean(result: dict, classes) -> float:
    """mIoU of a result over all its classes, or over some."""
    shares = [result['iou'][name] for name in classes or result['iou'] if result['iou'][name] is not None]
    return sum(shares) / len(shares)


def by_hand(dataset: str, run: Path | None) -> dict:
    """Updates and score of the config that was set by hand, on the compared split, and val scores by update."""
    config, split, classes = HAND[dataset]
    if run:
        settings, result = _json(run / 'config.json'), _json(run / f'eval/{split}.json')
        return {'config': config, 'updates': settings['total_steps'], 'miou': mean(result, classes),
                'images': result['images'], 'val_miou': _val_curve(run)}
    if dataset == 'shapes':
        found = _json(RESULTS / 'evidence/fixmatch-seed0.json')
        result, updates = found['test']['latest'], found['steps']
    else:
        method = {'camvid': 'fixmatch_ema', 'voc_animals': 'supervised'}[dataset]
        found = next(run for run in _json(RESULTS / f'{dataset}.json')['runs'] if run['method'] == method)
        best = [key for key in found['evaluations'] if key.startswith(f'{split}-best')]
        result = found['evaluations'][max(best)]  # the teacher where there is one
        updates = found['total_steps']
    return {'config': config, 'updates': updates, 'miou': mean(result, classes), 'images': result['images'],
            'val_miou': found['val_miou']}


def outcome(dataset: str, folder: Path) -> dict:
    """What a fit did: the time it had, what it trained, and its scores on the compared split."""
    _, split, classes = HAND[dataset]
    state, networks = _json(folder / 'fit.json'), {}
    for name in state['scores']:
        config, result = _json(folder / name / 'config.json'), _json(folder / name / f'eval/{split}.json')
        networks[name] = {
            'updates': config['total_steps'], 'miou': mean(result, classes), 'images': result['images'],
            'weights': result['weights'], 'val_miou': _val_curve(folder / name),
            'cost': _json(folder / name / 'cost.json') if (folder / name / 'cost.json').exists() else None}
    record = _json(folder / state['best'] / 'run.json')
    own = [row[:2] for row in state['reasons'] if row[2] == 'yours']
    return {'dataset': dataset, 'split': split, 'classes': classes, 'minutes': state['minutes'],
            'method': state['method'], 'set': own,
            'plan': [row for row in state['reasons'] if row[0] not in ('model.pretrained', 'data.dir')],
            'measured_step_seconds': state['step_seconds'], 'planned_anew': state['planned_anew'],
            'networks': networks, 'predicts': state['best'],
            'devices': record['devices'], 'versions': record['versions'], 'git': record['git']}


def _val_curve(run: Path) -> list:
    lines = [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]
    return [[line['step'], line['miou']] for line in lines if 'miou' in line]


def _json(path: Path):
    return json.loads(path.read_text())


def table(results: list[dict]) -> str:
    """Markdown: a row a dataset."""
    lines = ['| dataset, split | by hand | updates | mIoU | `fit` predicts with | updates | mIoU | difference |',
             '|---|---|---|---|---|---|---|---|']
    for result in results:
        hand, best = result['hand'], result['networks'][result['predicts']]
        before = result['networks']['labelled_only']['updates'] if result['predicts'] != 'labelled_only' else None
        updates = f'{before} + {best["updates"]}' if before else str(best['updates'])
        lines.append(f'| {result["dataset"]}, {result["split"]} | `{hand["config"]}` | {hand["updates"]} | '
                     f'{100 * hand["miou"]:.1f} | {result["predicts"]} | {updates} | {100 * best["miou"]:.1f} | '
                     f'{100 * (best["miou"] - hand["miou"]):+.1f} |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path, nargs='?')
    parser.add_argument('--dataset', choices=sorted(HAND))
    parser.add_argument('--hand', type=Path, help='an evaluated run folder')
    parser.add_argument('--note', help='anything a reader must know, such as what else the machine did')
    parser.add_argument('--output', type=Path, default=RESULTS / 'fit.json')
    arguments = parser.parse_args()
    results = _json(arguments.output) if arguments.output.exists() else []
    if arguments.folder:
        if not arguments.dataset:
            parser.error('--dataset says which config it is compared with')
        found = outcome(arguments.dataset, arguments.folder)
        found |= {'note': arguments.note, 'hand': by_hand(arguments.dataset, arguments.hand)}
        results = [r for r in results if r['dataset'] != arguments.dataset] + [found]
        results.sort(key=lambda result: list(HAND).index(result['dataset']))
        arguments.output.write_text(json.dumps(results, indent=1) + '\n')
    print(table(results), end='')


if __name__ == '__main__':
    main()
