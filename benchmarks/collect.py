"""Gathers evaluated runs into one JSON and prints them as a table.

    python benchmarks/collect.py --output=benchmarks/results/camvid.json [--classes=cat,dog] RUN [RUN ...]

A RUN is a run folder on which `s4mim_jax.evaluate --split=test --checkpoint=best|latest` was run. Datasets and weights
are named, never located.
"""

import argparse
import json
from pathlib import Path


def read(run: Path, classes: list[str] | None) -> dict:
    """What a result needs to be understood: method, data, batch, schedule, scores, devices."""
    config, record = (json.loads((run / name).read_text()) for name in ('config.json', 'run.json'))
    evaluations = {}
    for path in sorted((run / 'eval').glob('*-*-*.json')):
        result = json.loads(path.read_text())
        if classes:
            shares = [result['iou'][name] for name in classes if result['iou'][name] is not None]
            result['miou_of'] = {'classes': classes, 'miou': sum(shares) / len(shares)}
        evaluations[path.stem] = result
    lines = [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]
    weights = config['model']['pretrained']
    return {
        'method': config['method']['name'], 'method_config': config['method'], 'seed': config['seed'],
        'data': {k: config['data'][k] for k in ('name', 'split', 'crop', 'resize')} | {
            'split_hash': record['split']['hash']},
        'model': config['model'] | {'pretrained': weights and Path(weights).name},
        'batch': config['batch'], 'optimizer': config['optimizer'], 'total_steps': config['total_steps'],
        'evaluations': evaluations,
        'val_miou': [[line['step'], line['miou']] for line in lines if line['split'] == config['eval']['split']],
        'loss': [[line['step'], line['loss']] for line in lines if line['split'] == 'train' and 'loss' in line][-100:],
        'pseudo_labels': [[line['step'], line['pseudo_label/kept'], line['pseudo_label/accuracy_kept']]
                          for line in lines if line['split'] == 'train' and 'pseudo_label/kept' in line][::5],
        'devices': record['devices'], 'versions': record['versions'], 'git': record['git'],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('runs', type=Path, nargs='+')
    parser.add_argument('--output', type=Path, required=True)
    parser.add_argument('--classes', help='also report the mean over these classes')
    parser.add_argument('--note', help='anything a reader must know, such as what else the machine did')
    arguments = parser.parse_args()
    classes = arguments.classes.split(',') if arguments.classes else None
    results = [read(run, classes) for run in arguments.runs]
    arguments.output.write_text(json.dumps({'note': arguments.note, 'runs': results}, indent=1) + '\n')
    print('| method | steps | evaluation | mIoU | pixel accuracy |\n|---|---|---|---|---|')
    for result in results:
        for name, scores in result['evaluations'].items():
            miou = scores['miou_of']['miou'] if classes else scores['miou']
            print(f'| {result["method"]} | {scores["step"]} of {result["total_steps"]} | {name} | {miou:.4f} | '
                  f'{scores["pixel_accuracy"]:.4f} |')


if __name__ == '__main__':
    main()
