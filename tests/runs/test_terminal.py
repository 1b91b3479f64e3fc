"""Progress is one line on a terminal, and plain lines in a file; both seen through a real pseudo-terminal or a pipe."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from dataset_trees import write_folder
from fork_server import QUICK_COMPILES

from s4mim_jax.runs.throughput import Progress

SHOWN = '''
import sys
from s4mim_jax.config import terminal
from s4mim_jax.data.progress import Progress
for step in range(3):
    terminal.show(f'step {step} ' + 'x' * 200 * (step == 1))
terminal.say('kept')
terminal.show('last')
terminal.end()
work = Progress('read', 2, seconds=-1)
work.count(), work.count()
print('after')
'''


def seen(command, columns=80, **environment):
    """What a terminal of so many columns got, as text."""
    main, side = os.openpty()
    done = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, close_fds=True,
                            env=os.environ | {'COLUMNS': str(columns), 'LINES': '24', **environment})
    os.close(side)
    parts = []
    while True:
        try:
            parts.append(os.read(main, 65536))
        except OSError:  # the other side is closed
            break
        if not parts[-1]:
            break
    os.close(main)
    assert done.wait(timeout=300) == 0, b''.join(parts).decode()
    return b''.join(parts).decode().replace('\r\n', '\n')


def screen(text):
    """Lines as a person sees them: a carriage return goes back to the start, an erasure empties the rest."""
    lines = []
    for line in text.split('\n'):
        shown = ''
        for part in re.split(r'\r', line):
            rest = part.removeprefix('\x1b[K')
            shown = rest if rest != part else rest + shown[len(rest):]
        lines.append(shown)
    return lines


def test_a_terminal_has_one_line():
    text = seen([sys.executable, '-c', SHOWN])
    assert text.count('\r\x1b[K') == 7  # four shows and one that gives way; two of the count
    assert screen(text) == ['kept', 'last', 'read: 2/2', 'after', '']
    assert max(len(part) for part in re.split(r'\r\x1b\[K|\n', text)) == 79


def test_a_pipe_has_lines():
    done = subprocess.run([sys.executable, '-c', SHOWN], capture_output=True, text=True, check=True)
    assert '\x1b' not in done.stdout and '\r' not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == 'step 0 ' and len(lines[1]) > 200 and lines[2:] == ['step 2 ', 'kept', 'last', 'after']
    assert done.stderr.splitlines() == ['read: 1/2', 'read: 2/2']


def test_a_narrow_terminal_keeps_loss_rate_and_time_left():
    progress = Progress(0, 1000, 16)
    progress.begin()
    progress.step = 50
    progress.pause()
    progress._rate = 3.1  # whatever this machine's clock said
    losses = {'loss': 0.812, 'loss/supervised': 0.79, 'loss/consistency': 0.83, 'pseudo_label/kept': 0.7}
    whole = progress.line(losses)
    assert '(supervised 0.790, consistency 0.830)' in whole and 'images/s' in whole and 'kept 70%' in whole
    assert progress.line(losses, 500) == whole
    for width in (90, 70, 55):
        line = progress.line(losses, width)
        assert len(line) < width and 'loss 0.812' in line and 'steps/s' in line and 'ETA' in line
    assert 'kept' in progress.line(losses, 90) and 'images/s' not in progress.line(losses, 70)


@pytest.mark.parametrize(('own', 'level'), [(None, '3'), ('0', '0')])
def test_xla_and_tensorflow_speak_when_they_are_asked_to(own, level):
    code = ("import jax, os, sys; sys.argv = ['x']; from s4mim_jax.config import command_line\n"
            "command_line.run(lambda *a: print(os.environ['TF_CPP_MIN_LOG_LEVEL']))")
    environment = {k: v for k, v in os.environ.items() if k != 'TF_CPP_MIN_LOG_LEVEL'}
    environment |= {'TF_CPP_MIN_LOG_LEVEL': own} if own else {}
    done = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == level


@pytest.mark.slow
def test_a_training_on_a_terminal(tmp_path):
    """Nothing is wider than the terminal but the start text, and nothing comes from the libraries."""
    write_folder(tmp_path / 'set')
    small = ['total_steps=6', 'eval.every=6', 'checkpoint.every=6', 'log.every=1', 'log.images=0', 'batch.labeled=2',
             'batch.unlabeled=2', 'model.encoder=resnet18', 'model.width=4', 'model.decoder_width=4',
             'model.aspp_rates=(1,)', 'data.crop=(32, 32)']
    text = seen([sys.executable, '-m', 's4mim_jax.train', '--config=configs/folder.py:fixmatch_ema,split=seeded:1/2',
                 f'--config.data.dir={tmp_path / "set"}', f'--workdir={tmp_path / "run"}',
                 *(f'--config.{setting}' for setting in small)],
                JAX_PLATFORMS='cpu', XLA_FLAGS=QUICK_COMPILES)
    lines = screen(text)
    steps = [line for line in lines if re.match(r'step \d+/6', line)]
    assert len(steps) == 1 and steps[0].startswith('step 6/6  loss') and len(steps[0]) < 80 and 'ETA' in steps[0]
    assert len(re.findall(r'step \d+/6', text)) >= 6  # written over
    assert lines[-2].startswith('done: 6 steps')
    foreign = r'WARNING|INFO|absl|tensorflow|orbax|XLA|Gloo|^[IWE]\d{4} '
    assert [line for line in lines if re.search(foreign, line)] == []
    assert np.mean([not line.strip() for line in lines[:-1]]) < 0.1
