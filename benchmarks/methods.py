"""What each method costs beside its host: step time, compile time, memory; steps interleaved, arrays in.

    python benchmarks/methods.py --config=configs/camvid.py --output=benchmarks/results/methods_camvid.json

A round runs one step of every method in turn. The cost of a method is the median over rounds of its step
time divided by its host's in the same round, so that a drifting machine changes both alike.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from provenance import command, device
from step import one_step, prepare

from s4mim_jax.command import load_config
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
        # Every program is first in a round as often as the others: what ran before leaves its traces in caches.
        start = number % len(names)
        for name in names[start:] + names[:start]:
            one_step(runs[name])
        if number == 0:  # the first steps warm up
            for run in runs.values():
                run['wall'].clear(), run['cpu'].clear()
    return runs, configs


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
    runs, configs = measure(budgets, arguments.config, arguments.classes, arguments.rounds, overrides)
    rows = {name: {'step_s': float(np.median(run['wall'])), 'step_cpu_s': float(np.median(run['cpu'])),
                   'compile_s': run['compile_s'], 'gflop': run['gflop'], 'memory_gib': run['gib'],
                   'passes': passes.table(configs[name])} for name, run in runs.items()}
    ratios = []
    for method, host, budget in budgets:
        each = np.divide(runs[method]['wall'], runs[host]['wall'])
        ratios.append({'method': method, 'host': host, 'budget': budget, 'ratio': float(np.median(each)),
                       'quartiles': [float(q) for q in np.quantile(each, (0.25, 0.75))],
                       'flop_ratio': rows[method]['gflop'] / rows[host]['gflop']})
    print(f'{"method":<34}{"step s":>8}{"CPU s":>8}{"compile s":>11}{"GFLOP":>8}{"GiB":>7}')
    for name, row in rows.items():
        print(f'{name:<34}{row["step_s"]:>8.3f}{row["step_cpu_s"]:>8.2f}{row["compile_s"]:>11.1f}{row["gflop"]:>8.1f}'
              f'{row["memory_gib"]:>7.2f}')
    print(f'\n{"method":<34}{"host":<12}{"ratio":>7}{"budget":>8}{"FLOPs":>7}')
    for row in ratios:
        print(f'{row["method"]:<34}{row["host"]:<12}{row["ratio"]:>7.2f}{row["budget"]:>8.2f}{row["flop_ratio"]:>7.2f}'
              + ('' if row['ratio'] <= row['budget'] else '  over'))
    if arguments.output:
        arguments.output.write_text(json.dumps({
            'command': command(__file__, sys.argv[1:]), **device(1), 'ratios': ratios, 'methods': rows},
            indent=1) + '\n')


if __name__ == '__main__':
    main()
