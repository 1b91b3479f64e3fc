"""Methods against their hosts under equal conditions: same steps, batch, split and initial network, paired seeds.

    python benchmarks/ablation.py [--table=shapes] [--folder=benchmarks/results/evidence] ["--only=fixmatch;s4mc"]
        [--seeds=1] [--list] [--config=configs/shapes_start.py] [--set total_steps=500 ...] [--begin=500] [--runs=DIR]
    S4MIM_DATA=... python benchmarks/ablation.py --table=camvid_1_30 --weights=mobilenet_v2_imagenet.safetensors

What is scored is the last checkpoint, the average of its weights where the method keeps one, on the drawn test images
of `shapes_large` where the dataset is `shapes`. With --begin every arm of a seed begins with the same network, trained
for so many labelled-only steps. One JSON a run; a run whose JSON is there is not repeated, an interrupted one goes on.
At the end table.md (test mean, standard deviation, paired difference to the host with its 95 % interval) and table.png
are made from all the JSONs in the folder; `--summarize` makes only
those. How long it will take is said before it begins, as far as the JSONs in the folder tell it. What a step costs is
measured by methods.py: here other work may run beside.
"""

import argparse
import json
import re
import statistics
import sys
import time
from pathlib import Path

import jax
from ablation_table import write_table
from arms import TABLES

from s4mim_jax.config import command_line
from s4mim_jax.config.validation import validate
from s4mim_jax.evaluate import evaluate_run
from s4mim_jax.runs.loop import train

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'


def file_of(arm: str, seed: int) -> str:
    return re.sub(r'[^a-z0-9]+', '_', arm.lower()).strip('_') + f'-seed{seed}.json'


def run(arm: str, seed: int, arguments) -> dict:
    """Trains, evaluates the last checkpoint on the test split and returns what is kept of the run."""
    started, workdir = time.monotonic(), arguments.runs / file_of(arm, seed).removesuffix('.json')
    begin = {}
    if arguments.weights:  # a batch of eight small crops makes poor statistics; those of the file are held
        begin = {'model.pretrained': str(arguments.weights), 'model.freeze_norm': 'true'}
    if arguments.begin:
        begun = arguments.runs / f'begin-seed{seed}'
        train_arm(begun, arguments.arms['supervised'].argument, seed, arguments,
                  begin | {'total_steps': str(arguments.begin)})
        begin |= {'model.pretrained': str(begun)}
    told = arguments.arms[arm]
    train_arm(workdir, told.argument, seed, arguments, begin)
    scores = {'latest': evaluate_run(workdir, 'latest', split='test', overrides=finer(workdir))}
    jax.clear_caches()  # programs of one arm are of no use to the next; those of its other seeds are on disk
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    config, record = (json.loads((workdir / name).read_text()) for name in ('config.json', 'run.json'))
    train = [line for line in lines if line['split'] == 'train']
    return {'arm': arm, 'argument': told.argument, 'host': told.host, 'seed': seed,
            'config_file': Path(arguments.config).name, 'set': arguments.set, 'begin': arguments.begin,
            **({'weights': arguments.weights.name} if arguments.weights else {}), 'test': scores,
            'val_miou': [[line['step'], line['miou']] for line in lines if line['split'] == config['eval']['split']],
            'pseudo_label': {key: train[-1][key] for key in train[-1] if key.startswith('pseudo_label/')},
            'steps': config['total_steps'], 'batch': config['batch'], 'split_hash': record['split']['hash'],
            'cost': json.loads((workdir / 'cost.json').read_text()), 'seconds': time.monotonic() - started,
            'versions': record['versions'], 'git': record['git'], 'devices': record['devices']}


def finer(workdir: Path) -> tuple:
    """Overrides that score a run on more test images than its dataset has, where they can be drawn."""
    drawn = json.loads((workdir / 'config.json').read_text())['data']['name'] == 'shapes'
    return (('data.name', 'shapes_large'),) if drawn else ()


def train_arm(workdir: Path, argument: str, seed: int, arguments, more: dict[str, str]) -> None:
    """Trains or goes on; a run that is complete costs nothing."""
    overrides = [tuple(text.split('=', 1)) for text in arguments.set]
    overrides += [('seed', str(seed)), ('log.images', '0'), *more.items()]
    config = command_line.load_config(f'{arguments.config}:{argument}', overrides)
    validate(config)
    status = train(config, str(workdir))
    if status:  # stopped by a signal, or a loss that is no number
        sys.exit(status)


def estimate(left: list[tuple[str, int]], results: list[dict]) -> float | None:
    """Seconds that the runs `left` will take: the median of the arm's finished runs, or of all; None without any."""
    taken: dict[str, list[float]] = {}
    for result in results:
        cost = result['cost']  # JSONs of earlier versions do not hold the whole run's seconds
        steps = cost['first_step_seconds'] + result['steps'] * cost['step_seconds']
        taken.setdefault(result['arm'], []).append(result.get('seconds', steps))
    every = [seconds for arm in taken.values() for seconds in arm]
    return sum(statistics.median(taken.get(arm, every)) for arm, _ in left) if every else None


def finished(folder: Path) -> list[dict]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob('*-seed*.json'))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--table', choices=TABLES, default='shapes', help='which arms, on which data')
    parser.add_argument('--folder', type=Path, help='of the JSONs, default that of the table in benchmarks/results')
    parser.add_argument('--weights', type=Path, metavar='FILE', help='what every arm begins with, where a table asks')
    parser.add_argument('--runs', type=Path, default=ROOT / 'runs' / 'ablation', help='where run folders go')
    parser.add_argument('--config', help='default: that of the table')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', help='an override of every run')
    parser.add_argument('--begin', type=int, metavar='STEPS',
                        help='labelled-only steps before every arm, default that of the table')
    parser.add_argument('--only', help='arms, separated by ;')
    parser.add_argument('--seeds', type=int, help='at most so many seeds an arm')
    parser.add_argument('--list', action='store_true', help='print what would run and end')
    parser.add_argument('--summarize', action='store_true', help='make the table and the plot from what is there')
    arguments = parser.parse_args()
    table = TABLES[arguments.table]
    arguments.arms = every = table.arms
    arguments.config = arguments.config or table.config
    arguments.begin = table.begin if arguments.begin is None else arguments.begin
    folder = arguments.folder or RESULTS / table.folder
    if table.weights and not (arguments.weights or arguments.list or arguments.summarize):
        sys.exit(f'--table={arguments.table}: every arm begins with published weights: --weights=FILE')
    if arguments.weights and not arguments.weights.is_file():
        sys.exit(f'--weights={arguments.weights}: no such file')
    arguments.folder, arguments.runs = folder.absolute(), arguments.runs.absolute()
    arms = [name.strip() for name in arguments.only.split(';')] if arguments.only else list(every)
    unknown = [name for name in arms if name not in every]
    if unknown:
        sys.exit(f'--only={arguments.only}: unknown arm {unknown[0]!r}\nvalid: {"; ".join(every)}')
    # Seed by seed, so that an interrupted benchmark has compared every arm on some seeds.
    wanted = [(name, seed) for seed in range(max(every[n].seeds for n in arms)) for name in arms
              if seed < min(every[name].seeds, arguments.seeds or every[name].seeds)]
    left = [pair for pair in wanted if not (arguments.folder / file_of(*pair)).exists()]
    seconds = estimate(left, finished(arguments.folder))
    time_needed = 'how long, the first one will tell' if seconds is None else f'about {seconds / 60:.0f} min'
    print(f'{len(wanted)} runs, {len(left)} of them to do' + (f': {time_needed}' if left else ''), flush=True)
    if arguments.list:
        for name, seed in left:
            print(f'  {name}, seed {seed}: {arguments.config}:{every[name].argument}')
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    command_line.compilation_cache(str(arguments.runs / 'run'))
    started = time.monotonic()
    for number, (name, seed) in enumerate([] if arguments.summarize else left):
        if number:
            seconds = (time.monotonic() - started) / number
            print(f'about {seconds * (len(left) - number) / 60:.0f} min left', flush=True)
        print(f'[{number + 1}/{len(left)}] {name}, seed {seed}', flush=True)
        result = run(name, seed, arguments)
        path = arguments.folder / file_of(name, seed)
        path.with_suffix('.part').write_text(json.dumps(result, indent=1) + '\n')
        path.with_suffix('.part').replace(path)
    write_table(finished(arguments.folder), every, arguments.folder)


if __name__ == '__main__':
    main()
