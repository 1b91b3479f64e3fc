"""CamVid through each of its layouts: the same images must train to the same numbers.

    S4MIM_DATA=... python benchmarks/layouts.py --steps=60 --output=benchmarks/results/camvid_layouts.json

The reader `camvid` on the data folder's layout, the reader `folder` on the same, and the reader `camvid` on the
original distribution's layout (train/ trainannot/ ..., void = 11), which is made here from the first.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from provenance import command, device

from s4mim_jax.config.command_line import load_config
from s4mim_jax.config.validation import validate
from s4mim_jax.evaluate import evaluate_run
from s4mim_jax.runs.loop import train

ROOT = Path(__file__).resolve().parents[1]
VOID, ORIGINAL_VOID = 255, 11


def original_layout(source: Path, folder: Path) -> Path:
    """Makes train/ trainannot/ val/ ... of images/ and masks/; images are links, masks are written anew."""
    for split in ('train', 'val', 'test'):
        for kind, end in (('images', ''), ('masks', 'annot')):
            (folder / f'{split}{end}').mkdir(parents=True)
            for path in sorted((source / kind / split).iterdir()):
                target = folder / f'{split}{end}' / path.name
                if kind == 'images':
                    target.symlink_to(path.resolve())
                else:
                    mask = np.asarray(Image.open(path))
                    Image.fromarray(np.where(mask == VOID, ORIGINAL_VOID, mask).astype(np.uint8)).save(target)
    (folder / 'splits').symlink_to((source / 'splits').resolve())
    return folder


def run(name: str, folder: Path, workdir: Path, steps: int, sets: list[str]) -> dict:
    """Trains labelled-only for a few steps and scores the last ones on test."""
    overrides = [('data.name', name), ('data.dir', str(folder)), ('total_steps', str(steps)), ('eval.every', '0'),
                 ('checkpoint.every', '0'), ('log.every', '10'), ('log.images', '0'), ('data.cache', 'false'),
                 *(tuple(text.split('=', 1)) for text in sets)]
    config = load_config(str(ROOT / 'configs' / 'camvid.py') + ':supervised,split=1_16', overrides)
    validate(config)
    if train(config, str(workdir)):
        sys.exit(1)
    score = evaluate_run(workdir, 'latest', split='test')
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    return {'reader': name, 'split_hash': json.loads((workdir / 'run.json').read_text())['split']['hash'],
            'losses': [line['loss'] for line in lines if line['split'] == 'train'], 'test_miou': score['miou'],
            'test_iou': list(score['iou'].values()), 'pixel_accuracy': score['pixel_accuracy']}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=int, default=60)
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', help='an override of every run')
    parser.add_argument('--output', type=Path)
    arguments = parser.parse_args()
    source = Path(os.environ.get('S4MIM_DATA', 'data')) / 'camvid'
    if not (source / 'images').is_dir():
        sys.exit(f'{source}: no folder images; set S4MIM_DATA to the folder that holds camvid')
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        original = original_layout(source, place / 'original')
        rows = {layout: run(name, folder, place / layout.replace(' ', '_'), arguments.steps, arguments.set)
                for layout, name, folder in (('camvid', 'camvid', source), ('folder', 'folder', source),
                                             ('original layout', 'camvid', original))}
    first, *others = ({k: v for k, v in row.items() if k != 'reader'} for row in rows.values())
    same = all(other == first for other in others)
    for layout, row in rows.items():
        print(f'{layout:<16} last loss {row["losses"][-1]:.6f}  test mIoU {row["test_miou"]:.6f}')
    print('the same numbers' if same else 'DIFFERENT numbers')
    if arguments.output:
        arguments.output.write_text(json.dumps({'command': command(__file__, sys.argv[1:]), **device(1), 'same': same,
                                                'runs': rows}, indent=1) + '\n')
    sys.exit(0 if same else 1)


if __name__ == '__main__':
    main()
