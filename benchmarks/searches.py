"""Gathers the runs of a search: what each set, how it scored on val, and on test where that was looked at.

    python benchmarks/searches.py --config=configs/shapes.py --output=benchmarks/results/searches RUN [RUN ...]

Writes OUTPUT.json, an entry a run, and OUTPUT.md, the same as tables, one for each folder of runs. A run is
repeated by

    python -m s4mim_jax.train --config=CONFIG:METHOD --config.KEY=VALUE ... --workdir=DIR

with the keys and values of its `set`, at today's commit or, if the code has changed since, at its own, whose defaults
may be others than today's, from which `set` tells the difference; with `begin`, model.pretrained is that file or
a run of that description. A run that stopped before its last step is left out and named; with --stopped it is told,
with its last step. With --add what OUTPUT.json holds stays, but for runs of the same folder and name.
"""

import argparse
import json
import sys
from pathlib import Path

from s4mim_jax.config import command_line
from s4mim_jax.config.errors import InputError
from s4mim_jax.reporting.run_files import flat

NOT_TOLD = ('data.dir', 'model.pretrained', 'seed', 'log.', 'checkpoint.')  # places, entries of their own, logging


def changed(config: dict, config_file: str) -> dict:
    """Dotted key -> value, where the run's config is not what its method's config says today.

    A key that today's config no longer has is kept; one that the run's version did not have yet is not told.
    """
    today = flat(json.loads(command_line.load_config(f'{config_file}:{config["method.name"]}', ()).to_json()))
    return {key: value for key, value in sorted(config.items())
            if not key.startswith(NOT_TOLD) and (key not in today or today[key] != value)}


def begun(folder: str | None) -> str | None:
    """What a run began with, in words."""
    if folder is None or not Path(folder).is_dir():
        return folder and Path(folder).name
    config = json.loads((Path(folder) / 'config.json').read_text())
    return f'{config["method"]["name"]}, {config["total_steps"]} steps, seed {config["seed"]}'


def read(run: Path, config_file: str, stopped: bool = False) -> dict | None:
    """One entry, or None of a run without an evaluation: its last one, with `stopped` any."""
    missing = [name for name in ('config.json', 'run.json', 'metrics.jsonl') if not (run / name).is_file()]
    if missing:
        raise InputError(f'{run}: no {missing[0]}\nvalid: a folder that s4mim_jax.train has written')
    config = flat(json.loads((run / 'config.json').read_text()))
    lines = [json.loads(line) for line in (run / 'metrics.jsonl').read_text().splitlines()]
    val = [[line['step'], round(line['miou'], 4)] for line in lines if line['split'] == config['eval.split']]
    if not val or val[-1][0] != config['total_steps'] and not stopped:
        return None
    tests = {path.stem: round(json.loads(path.read_text())['miou'], 4) for path in sorted(run.glob('eval/test-*.json'))}
    return {'group': run.parent.name, 'run': run.name, 'method': config['method.name'], 'seed': config['seed'],
            'set': changed(config, config_file), 'begin': begun(config['model.pretrained']), 'val': val,
            'steps': config['total_steps'], 'test': tests,
            'git': json.loads((run / 'run.json').read_text())['git']}


def added(there: list[dict], entries: list[dict]) -> list[dict]:
    """The entries that are there and new ones beside their groups; one of the same group and run is replaced."""
    name = lambda entry: (entry['group'], entry['run'])
    new = {name(entry) for entry in entries}
    together = [entry for entry in there if name(entry) not in new] + entries
    groups = list(dict.fromkeys(entry['group'] for entry in there + entries))
    return sorted(together, key=lambda entry: groups.index(entry['group']))  # stable: in their order within a group


def table(entries: list[dict]) -> str:
    """Markdown, a section a folder; settings that all of its runs share are told once, above it."""
    text = []
    for group in dict.fromkeys(entry['group'] for entry in entries):
        members = [entry for entry in entries if entry['group'] == group]
        shared = {key: value for key, value in members[0]['set'].items()
                  if all(entry['set'].get(key, ...) == value for entry in members)}
        heads = ('run', 'method', 'seed', 'set', 'begins with', 'val mIoU, best (step)', 'last', 'test, best on val',
                 'test, last', 'commit')
        text += [f'## {group}', '',
                 f'Runs: {len(members)}. Set in all of them: {as_text(shared) or "the defaults"}.', '',
                 f'| {" | ".join(heads)} |',
                 '|' + '---|' * len(heads)]
        text += [row(entry, shared) for entry in members] + ['']
    return '\n'.join(text)


def row(entry: dict, shared: dict) -> str:
    step, best = max(entry['val'], key=lambda pair: pair[1])
    def test(checkpoint):
        scores = [score for name, score in entry['test'].items() if name.startswith(f'test-{checkpoint}-')]
        return f'{scores[-1]:.3f}' if scores else '-'  # the teacher's is last

    ended = '' if entry['val'][-1][0] == entry['steps'] else f' (stopped at {entry["val"][-1][0]} of {entry["steps"]})'
    own = {key: value for key, value in entry['set'].items() if key not in shared}
    cells = (entry['run'], f'`{entry["method"]}`', entry['seed'], as_text(own), entry['begin'] or '-',
             f'{best:.3f} ({step})', f'{entry["val"][-1][1]:.3f}' + ended, test('best'), test('latest'),
             (entry['git'] or '-')[:7])
    return '| ' + ' | '.join(str(cell) for cell in cells) + ' |'


def as_text(settings: dict) -> str:
    return ', '.join(f'`{key}={value}`' for key, value in settings.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('runs', type=Path, nargs='+')
    parser.add_argument('--config', default='configs/shapes.py')
    parser.add_argument('--output', type=Path, required=True, help='without ending')
    parser.add_argument('--stopped', action='store_true', help='runs that stopped before their last step too')
    parser.add_argument('--add', action='store_true', help='to the runs that OUTPUT.json holds')
    arguments = parser.parse_args()
    entries = []
    for run in arguments.runs:
        try:
            entry = read(run, arguments.config, arguments.stopped)
        except InputError as error:
            print(f'error: {error}', file=sys.stderr)
            sys.exit(2)
        if entry is None:
            print(f'{run}: not at its last step, left out (--stopped)', file=sys.stderr)
        else:
            entries.append(entry)
    if not entries:
        sys.exit('no run is complete')
    if arguments.add:
        entries = added(json.loads(arguments.output.with_suffix('.json').read_text()), entries)
    arguments.output.with_suffix('.md').write_text(table(entries))
    # A line a run keeps the file readable and its changes small.
    lines = ',\n'.join(json.dumps(entry) for entry in entries)
    arguments.output.with_suffix('.json').write_text(f'[\n{lines}\n]\n')
    print(table(entries), end='')


if __name__ == '__main__':
    main()
