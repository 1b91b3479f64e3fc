"""Stand-ins for what the launch scripts call: they do what the real ones would and write down every call.

`gcloud` keeps one slice of two workers, each a folder that is its home; `ssh` runs the command there, so the worker's
script is the real one. `python` takes the place of interpreter, pip and training.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = ROOT / 'launch'

HEAD = f'''#!{sys.executable} -SE
import json, os, pathlib, shutil, signal, subprocess, sys, time
world = pathlib.Path(os.environ['LAUNCH_WORLD'])
args = sys.argv[1:]

def note(name, **more):
    with open(world / 'calls.jsonl', 'a') as file:
        file.write(json.dumps({{'name': name, 'args': args, **more}}) + '\\n')
'''

GCLOUD = HEAD + '''
note('gcloud')
flags = dict(a[2:].split('=', 1) for a in args if a.startswith('--') and '=' in a)
slice_, queue = world / 'slice', world / 'queue'
homes = [world / 'worker 0', world / 'worker 1']

def read(path):
    if not path.exists():
        sys.exit('ERROR: (gcloud) NOT_FOUND: Resource was not found')
    return path.read_text()

def create(type_):
    slice_.write_text('READY')
    (world / 'type').write_text(type_)
    for home in homes:
        home.mkdir()

def delete():
    slice_.unlink(missing_ok=True)
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)

if args[:2] == ['storage', 'cp'] or args[:2] == ['storage', 'rsync']:
    sys.exit(0)
if (world / 'no rights').exists():
    sys.exit('ERROR: (gcloud) PERMISSION_DENIED: tpu.nodes.get')
kind, verb, name = args[2:5]
if kind == 'queued-resources':
    if verb == 'describe':
        state = read(queue)
        print(state)
        if state == 'WAITING_FOR_RESOURCES':  # granted while one looks
            queue.write_text('ACTIVE')
            create((world / 'queued type').read_text())
    elif verb == 'create':
        queue.write_text('WAITING_FOR_RESOURCES')
        (world / 'queued type').write_text(flags['accelerator-type'])
        assert flags['node-id'] == name and flags['runtime-version']
    elif verb == 'delete':
        assert '--force' in args
        queue.unlink()
        delete()
elif verb == 'describe':
    state = read(slice_)
    print((world / 'type').read_text() if 'acceleratorType' in flags['format'] else state)
elif verb == 'create':
    if slice_.exists():
        sys.exit('ERROR: ALREADY_EXISTS')
    assert flags['version']
    create(flags['accelerator-type'])
elif verb == 'delete':
    read(slice_)
    delete()
elif read(slice_) != 'READY':
    sys.exit('ERROR: ssh: connect: connection timed out')
else:
    chosen = homes if flags.get('worker') == 'all' else [homes[int(flags['worker'])]]
    if verb == 'scp':
        source, target = [a for a in args[4:] if not a.startswith('--')]
        for home in chosen:
            shutil.copy(source, home / target.partition(':')[2])
        sys.exit(0)
    statuses = []
    for home in chosen:
        out = flags.get('output-directory')
        stream = open(pathlib.Path(out) / (home.name[-1] + '.log'), 'w') if out else None
        statuses.append(subprocess.run(['bash', '-c', flags['command']], stdout=stream,
                                       env={**os.environ, 'HOME': str(home)}).returncode)
    sys.exit(max(statuses))
'''

# Most calls only set up; the shell answers them sooner.
PYTHON = '''#!/usr/bin/env bash
case "$1 ${2:-}" in
  --version*) echo 'Python 3.11 (stand-in)' ;;
  '-m venv') mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
  '-m s4mim_jax.train' | '-m pytest') exec "$LAUNCH_WORLD/bin/program" "$@" ;;
esac
'''

# What the n-th start of a process does is the n-th word of the file behave-ID; the default is to end well.
PROGRAM = HEAD + '''
if args[:2] == ['-m', 'pytest']:
    note('pytest')
elif args[:2] == ['-m', 's4mim_jax.train']:
    ids = [a.split('=')[1] for a in args if a.startswith('--process_id=')]
    who = (ids or [os.environ['HOME'][-1]])[0]
    plan = world / f'behave-{who}'
    words = plan.read_text().split() if plan.exists() else []
    plan.write_text(' '.join(words[1:]))
    word = words[0] if words else 'exit0'
    signal.signal(signal.SIGTERM, lambda *_: (note('term', who=who), sys.exit(143)))
    note('train', who=who, cwd=os.getcwd(),
         env={k: v for k, v in os.environ.items() if k.startswith(('CUDA', 'JAX_LOCAL', 'S4MIM_DATA', 'MINE'))})
    print(f'process {who} computes', flush=True)
    if word == 'wait':
        time.sleep(60)
    if word == 'deaf':
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (world / 'deaf').touch()
        time.sleep(60)
    if word == 'fail':  # once the deaf one is
        while not (world / 'deaf').exists():
            time.sleep(0.05)
        word = 'exit7'
    if word == 'preempt':  # once both workers compute
        while (world / 'calls.jsonl').read_text().count('"train"') < 2:
            time.sleep(0.05)
        (world / 'slice').write_text('PREEMPTED')
        word = 'exit143'
    sys.exit(int(word.removeprefix('exit')))
'''

SRUN = HEAD + '''
note('srun')
sys.exit(int((world / 'srun-status').read_text()))
'''

SCONTROL = HEAD + '''
note('scontrol')
if args[0] == 'show':
    print('   JobState=' + (world / 'job-state').read_text() + ' Reason=None')
'''

KUBECTL = HEAD + '''
note('kubectl', manifest=sys.stdin.read())
'''


class World:
    """A folder with the stand-ins on PATH; `run` starts a launch script in it."""

    def __init__(self, folder: Path):
        self.folder = folder
        programs = {'gcloud': GCLOUD, 'python3.11': PYTHON, 'program': PROGRAM, 'srun': SRUN,
                    'scontrol': SCONTROL, 'kubectl': KUBECTL}
        (folder / 'bin').mkdir(parents=True)
        for name, text in programs.items():
            (folder / 'bin' / name).write_text(text)
            (folder / 'bin' / name).chmod(0o755)
        self.python = str(folder / 'bin' / 'python3.11')
        drop = ('SLURM_', 'CUDA_VISIBLE', 'S4MIM_', 'PYTHON', 'JAX_')
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(drop)} | {
            'PATH': f'{folder}/bin:{os.environ["PATH"]}', 'LAUNCH_WORLD': str(folder),
            'S4MIM_LAUNCH_STATE': str(folder / 'kept')}

    def start(self, script, *arguments, **environment):
        return subprocess.Popen(['bash', str(LAUNCH / script), *arguments], cwd=self.folder, text=True,
                                env=self.environment | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def run(self, script, *arguments, answer='', **environment):
        process = self.start(script, *arguments, **environment)
        try:
            out, err = process.communicate(answer, timeout=60)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def refused(self, script, *arguments, words=(), **environment):
        """The message of a wrong call: status 2, one to three lines, no command called."""
        done = self.run(script, *arguments, **environment)
        lines = done.stderr.strip().splitlines()
        assert done.returncode == 2 and not self.calls(), done
        assert lines[0].startswith('error: ') and len(lines) <= 3, done.stderr
        assert all(word in done.stderr for word in words), done.stderr

    def calls(self, name=None):
        path = self.folder / 'calls.jsonl'
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if name in (None, line['name'])]

    def await_calls(self, name, count):
        for _ in range(300):
            if len(self.calls(name)) >= count:
                return
            time.sleep(0.1)
        raise AssertionError(self.calls())

    def write(self, name, text):
        (self.folder / name).write_text(text)
