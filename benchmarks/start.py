"""Time to the first step of a run and to a prediction, of the first start and of the second, which finds the programs.

    python benchmarks/start.py [--config=configs/shapes.py:fixmatch] [--set KEY=VALUE ...] [--output=FILE.json]

Starts `s4mim_jax.train` in a folder of its own with an empty compilation cache, stops it after its first step by
SIGTERM, as a machine that goes away would, and starts the same command again, which goes on from the checkpoint.
A third start, in another run folder beside, begins from nothing with the same compiled programs. The clock runs from
the start of the process to the line of its first step. Then `s4mim_jax.predict` segments one image of 120 x 160 with
that run, twice; its clock runs to the end of the process. `processor` is user and system time, which other work on the
machine changes least, `peak_mib` the highest memory, both until then (Linux). The data must be there: drawing or
fetching it is no part of a start; what is remembered of its check is.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRACE, LOWER, BACKEND = (f'/jax/core/compile/{name}_duration'
                         for name in ('jaxpr_trace', 'jaxpr_to_mlir_module', 'backend_compile'))
REQUEST, HIT = (f'/jax/compilation_cache/{name}' for name in ('compile_requests_use_cache', 'cache_hits'))
IMPORTED = 'imported'


def worker(record: Path, flags: list[str]) -> None:
    """Runs the command of `train` in this process and writes what JAX reported: [time, event, seconds or 0]."""
    import runpy

    import jax
    seen = []
    jax.monitoring.register_event_listener(lambda event, **_: seen.append((time.time(), event, 0.0)))
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: seen.append((time.time(), event, seconds)))
    from s4mim_jax.runs import loop  # noqa: F401  what `train` imports, so that it can be timed
    seen.append((time.time(), IMPORTED, 0.0))
    sys.argv = ['s4mim_jax.train', *flags]
    try:
        runpy.run_module('s4mim_jax.train', run_name='__main__', alter_sys=True)
    finally:
        record.write_text(json.dumps(seen))


def start(flags: list[str], record: Path, environment: dict) -> dict:
    """One start of the run, stopped after its first step.

    Returns:
      seconds from the start of the process: `first_step`, `imports`, `before_step` (data, state or checkpoint),
      `step_program` (traced and compiled or fetched), and the programs asked for, fetched and compiled until then.
    """
    began, marks = time.time(), {}
    with subprocess.Popen([sys.executable, __file__, '--worker', str(record), *flags], cwd=ROOT, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            marks.setdefault(next((name for name in ('compiling', 'compiled', 'step ') if line.startswith(name)), ''),
                             time.time())
            if line.startswith('step '):
                used = usage(process.pid)
                process.send_signal(signal.SIGTERM)
                break
        process.stdout.read()
        errors = process.stderr.read()
    if 'step ' not in marks or process.returncode not in (0, 128 + signal.SIGTERM):
        print(errors[-2000:], file=sys.stderr)
        sys.exit(f'error: the run ended with status {process.returncode} '
                 + ('after' if 'step ' in marks else 'before') + ' its first step')
    return summary(began, marks, json.loads(record.read_text())) | used


def usage(process: int) -> dict:
    """Processor seconds and highest memory of a process so far; {} without /proc."""
    try:
        fields = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()
        status = Path(f'/proc/{process}/status').read_text()
    except OSError:
        return {}
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith('VmHWM'))
    return {'processor': (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK'), 'peak_mib': peak / 2 ** 10}


def predict(workdir: Path, image: Path, environment: dict) -> dict:
    """Seconds of one prediction from the shell, from the start of the process to its end, and what it used."""
    began = time.time()
    command = [sys.executable, '-m', 's4mim_jax.predict', f'--workdir={workdir}', f'--output={workdir}_out',
               '--checkpoint=latest', str(image)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f'error: {" ".join(command)} ended with status {process.returncode}')
    return {'seconds': time.time() - began, 'processor': used.ru_utime + used.ru_stime,
            'peak_mib': used.ru_maxrss / 2 ** 10}


def summary(began: float, marks: dict, seen: list) -> dict:
    """What `start` returns, from the time of the lines and of the events."""
    seen = [event for event in seen if event[0] <= marks['step ']]
    total = lambda name: sum(seconds for _, event, seconds in seen if event == name)
    count = lambda name: sum(event == name for _, event, _ in seen)
    imported = next(when for when, event, _ in seen if event == IMPORTED)
    return {'first_step': marks['step '] - began, 'imports': imported - began,
            'before_step': marks['compiling'] - imported, 'step_program': marks['compiled'] - marks['compiling'],
            'tracing': total(TRACE) + total(LOWER), 'backend': total(BACKEND),
            'programs': count(REQUEST), 'fetched': count(HIT), 'compiled': count(REQUEST) - count(HIT)}


def main() -> None:
    if sys.argv[1:2] == ['--worker']:
        worker(Path(sys.argv[2]), sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--config', default='configs/shapes.py:fixmatch')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', help='an override of the config')
    parser.add_argument('--output', type=Path)
    arguments = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if name != 'JAX_COMPILATION_CACHE_DIR'}
    # Files that no start should be the first to read from the disk.
    subprocess.run([sys.executable, '-c', 'import s4mim_jax.runs.loop'], cwd=ROOT, env=environment, check=True)
    with tempfile.TemporaryDirectory() as folder:
        flags = [f'--config={arguments.config}', '--config.total_steps=1000', '--config.log.every=1',
                 *(f'--config.{text}' for text in arguments.set)]
        starts = {name: start([*flags, f'--workdir={folder}/{run}'], Path(folder) / 'events.json', environment)
                  for name, run in (('first', 'run'), ('second', 'run'), ('other folder', 'other'))}
        from PIL import Image
        image = Path(folder) / 'image.png'
        Image.effect_noise((160, 120), 80).convert('RGB').save(image)
        predictions = {name: predict(Path(folder) / 'run', image, environment) for name in ('first', 'second')}
    ratios = {name: row['first_step'] / starts['first']['first_step'] for name, row in starts.items()}
    print(f'{"start":<14}' + ''.join(f'{key:>14}' for key in starts['first']))
    for name, row in starts.items():
        print(f'{name:<14}' + ''.join(f'{value:>14.1f}' if isinstance(value, float) else f'{value:>14}'
                                      for value in row.values()))
    print(f'to its first step the second start takes {ratios["second"]:.2f} of the time of the first, one in another '
          f'folder {ratios["other folder"]:.2f}')
    for name, row in predictions.items():
        print(f'{name} prediction: ' + ', '.join(f'{key} {value:.1f}' for key, value in row.items()))
    if arguments.output:
        from provenance import command, device  # imports JAX: not while a run is timed
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps({
            'command': command(__file__, sys.argv[1:]), **device(), 'unit': 's', 'starts': starts, 'ratios': ratios,
            'predictions': predictions},
            indent=1) + '\n')


if __name__ == '__main__':
    main()
