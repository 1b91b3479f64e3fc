"""What each method costs beside its host: step time, compile time, temporary memory; steps interleaved, arrays in.

    python benchmarks/methods.py --config=configs/camvid.py --output=benchmarks/results/methods_camvid.json

A round runs one step of every method, in an order of its own. The cost of a method is the median over rounds of its
step time divided by its host's in the same round, so that a drifting machine changes both alike.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from provenance import command, device
from step import one_step, prepare

from s4mim_jax.config.command_line import load_config
from s4mim_jax.training import passes

# Method (a --config argument), its host, and at most how many times the host's step it may take.
BUDGETS = (
    ('s4mc', 'fixmatch', 1.03),
    ('masksup', 'supervised', 2.1),
    ('maskmatch,teacher.scales=(1.0,)', 'fixmatch', 1.7),
    ('maskmatch', 'fixmatch', 2.3),
    ('s4mim', 's4mim_base', 2.5),
    ('union', 'fixmatch', 3.5),
)


def measure(budgets, config_file: str, num_classes: int, rounds: int, overrides) -> tuple[dict, dict]:
    """(argument -> compiled run with its step times, argument -> config)."""
    names = list(dict.fromkeys(name for method, host, _ in budgets for name in (host, method)))
    configs = {name: load_config(f'{config_file}:{name}', overrides) for name in names}
    runs = {}
    for name, config in configs.items():
        print(f'compiling {name} ...', flush=True)
        runs[name] = prepare(config, num_classes)
    for number in range(rounds + 1):
        # What ran just before leaves its traces in memory and caches, so no method has always the same one before it.
        for name in np.random.default_rng(number).permutation(names):
            one_step(runs[str(name)])
        if number == 0:  # the first steps warm up
            for run in runs.values():
                run['wall'].clear(), run['cpu'].clear()
    return runs, configs


def row(config, run: dict) -> dict:
    """Figures of one method; memory in GiB: what the step holds beside its arguments and results, and all of it."""
    temporary = run['step'].memory_analysis().temp_size_in_bytes
    return {'step_s': float(np.median(run['wall'])), 'step_cpu_s': float(np.median(run['cpu'])),
            'compile_s': run['compile_s'], 'gflop': run['gflop'], 'temporary_gib': temporary / 2**30,
            'memory_gib': run['gib'], 'passes': passes.pass_costs(config)}


def table(result: dict) -> str:
    """The result as Markdown, a row a method; `over` marks a budget that is not met."""
    lines = ['| method | s a step | compile s | GFLOP | temporary GiB | host | to the host | of FLOPs | at most |',
             '|---|---|---|---|---|---|---|---|---|']
    pairs = {pair['method']: pair for pair in result['ratios']}
    for name, figures in result['methods'].items():
        cells = [f'`{name}`', f'{figures["step_s"]:.2f}', f'{figures["compile_s"]:.0f}', f'{figures["gflop"]:.1f}',
                 f'{figures["temporary_gib"]:.2f}']
        if name in pairs:
            pair = pairs[name]
            over = '' if pair['ratio'] <= pair['budget'] else ' over'
            cells += [f'`{pair["host"]}`', f'{pair["ratio"]:.2f}{over}', f'{pair["flop_ratio"]:.2f}',
                      f'{pair["budget"]}']
        else:
            cells += ['-'] * 4
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--config', default='configs/camvid.py')
    parser.add_argument('--classes', type=int, default=11)
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', help='an override of the config')
    parser.add_argument('--only', help='methods of the table of budgets, with ; between')
    parser.add_argument('--output', type=Path)
    arguments = parser.parse_args()
    overrides = [tuple(text.split('=', 1)) for text in arguments.set]
    wanted = {name.strip() for name in arguments.only.split(';')} if arguments.only else None
    budgets = [row for row in BUDGETS if wanted is None or row[0] in wanted]
    if not budgets or wanted and wanted - {row[0] for row in budgets}:
        sys.exit(f'--only={arguments.only}: unknown method\nvalid: {"; ".join(row[0] for row in BUDGETS)}')
    machine = device(1)  # now: afterwards the load would be this benchmark's own
    runs, configs = measure(budgets, arguments.config, arguments.classes, arguments.rounds, overrides)
    rows = {name: row(configs[name], run) for name, run in runs.items()}
    ratios = []
    for method, host, budget in budgets:
        each = np.divide(runs[method]['wall'], runs[host]['wall'])
        ratios.append({'method': method, 'host': host, 'budget': budget, 'ratio': float(np.median(each)),
                       'quartiles': [float(q) for q in np.quantile(each, (0.25, 0.75))],
                       'flop_ratio': rows[method]['gflop'] / rows[host]['gflop']})
    result = {'command': command(__file__, sys.argv[1:]), **machine, 'ratios': ratios, 'methods': rows}
    print(table(result), end='')
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()
