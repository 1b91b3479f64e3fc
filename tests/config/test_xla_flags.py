"""A flag of XLA's is set where it was measured and where the installed XLA knows it, and nowhere else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from s4mim_jax.config import xla_flags

ROOT = Path(__file__).resolve().parents[2]
FLAG = '--xla_cpu_experimental_ynn_fusion_type='
ARGUMENTS = {'train': ['--config=configs/shapes.py:supervised', '--workdir=FOLDER/run'],
             'evaluate': ['--workdir=FOLDER/run'],
             'predict': ['--workdir=FOLDER/run', '--output=FOLDER/out', 'FOLDER/a.png']}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A processor alone, a measured version, nothing remembered; `asked` lists the flags that were tried."""
    asked = []
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
    monkeypatch.setenv('XLA_FLAGS', '')
    monkeypatch.setenv('S4MIM_XLA_FLAGS', 'on')
    monkeypatch.setattr(xla_flags, 'PROCESSORS', (xla_flags.platform.machine(),))
    monkeypatch.setattr(xla_flags, '_jaxlib', lambda: '0.10.2')
    monkeypatch.setattr(xla_flags, '_try', lambda flag: asked.append(flag) or True)
    return SimpleNamespace(asked=asked, kept=tmp_path / 's4mim_jax' / 'xla_flags.json', set=monkeypatch.setenv,
                           unset=monkeypatch.delenv, patch=monkeypatch.setattr)


def test_the_flag_is_tried_once_and_joins_the_users_own(machine):
    machine.set('XLA_FLAGS', '--xla_force_host_platform_device_count=2')
    assert xla_flags.for_cpu() == FLAG
    assert os.environ['XLA_FLAGS'] == f'--xla_force_host_platform_device_count=2 {FLAG}'
    machine.set('XLA_FLAGS', '')
    assert xla_flags.for_cpu() == FLAG and machine.asked == [FLAG]


def test_another_version_is_asked_anew(machine):
    xla_flags.for_cpu()
    machine.set('XLA_FLAGS', '')
    machine.patch(xla_flags, '_jaxlib', lambda: '0.12.0.1')
    xla_flags.for_cpu()
    assert len(machine.asked) == 2 and len(json.loads(machine.kept.read_text())) == 2


@pytest.mark.parametrize('value', ['off', '', None])
def test_nobody_has_it_who_did_not_ask(machine, value):
    machine.unset('S4MIM_XLA_FLAGS') if value is None else machine.set('S4MIM_XLA_FLAGS', value)
    assert xla_flags.for_cpu() is None and os.environ['XLA_FLAGS'] == '' and machine.asked == []


@pytest.mark.parametrize('value', ['', 'LIBRARY_FUSION_TYPE_DOT'])
def test_the_users_own_value_stays(machine, value):
    machine.set('XLA_FLAGS', FLAG + value)
    assert xla_flags.for_cpu() is None and os.environ['XLA_FLAGS'] == FLAG + value


def test_a_refusal_is_remembered_and_a_failed_trial_is_not(machine):
    machine.patch(xla_flags, '_try', lambda flag: None)
    assert xla_flags.for_cpu() is None and not machine.kept.exists()
    machine.patch(xla_flags, '_try', lambda flag: machine.asked.append(flag) or False)
    assert xla_flags.for_cpu() is None and xla_flags.for_cpu() is None
    assert len(machine.asked) == 1 and os.environ['XLA_FLAGS'] == ''


@pytest.mark.parametrize('text', ['', '[]', '{"a": ', '{"other": true}', 'null'])
def test_a_spoilt_memory_is_written_anew(machine, text):
    machine.kept.parent.mkdir()
    machine.kept.write_text(text)
    assert xla_flags.for_cpu() == FLAG
    assert True in json.loads(machine.kept.read_text()).values()


def test_a_folder_that_cannot_be_written_keeps_nothing(machine, tmp_path):
    machine.kept.parent.write_text('a file where the folder would be')
    assert xla_flags.for_cpu() == FLAG


def test_nothing_is_set_for_accelerators_and_unmeasured_versions(machine):
    for platforms in ('tpu', 'cuda', 'tpu,cpu', 'cuda,cpu'):
        machine.set('JAX_PLATFORMS', platforms)
        assert xla_flags.for_cpu() is None
    machine.unset('JAX_PLATFORMS')
    machine.patch(xla_flags.importlib.util, 'find_spec', lambda name: SimpleNamespace() if name == 'libtpu' else None)
    assert xla_flags.for_cpu() is None
    machine.set('JAX_PLATFORMS', 'cpu')
    machine.patch(xla_flags, '_jaxlib', lambda: '0.11.0')
    assert xla_flags.for_cpu() is None
    machine.patch(xla_flags, '_jaxlib', lambda: '0.10.2')
    machine.patch(xla_flags, 'PROCESSORS', ('another',))
    assert xla_flags.for_cpu() is None and machine.asked == [] and os.environ['XLA_FLAGS'] == ''


def test_a_child_process_tells_known_flags_from_unknown_ones():
    assert xla_flags._try('--xla_backend_optimization_level=1') is True
    assert xla_flags._try('--xla_cpu_no_such_flag_at_all=1') is False


@pytest.mark.parametrize('command', list(ARGUMENTS))
def test_command_lines_set_it_before_jax_compiles(command, tmp_path):
    """Seen in the command's own process, where it sets up the compilation cache."""
    if xla_flags.platform.machine() not in xla_flags.PROCESSORS:
        pytest.skip('nothing was measured for this processor')
    (tmp_path / 'a.png').write_bytes(b'')
    arguments = [text.replace('FOLDER', str(tmp_path)) for text in ARGUMENTS[command]]
    code = f"""
import os, runpy, sys
from s4mim_jax.config import command_line, xla_flags
xla_flags._jaxlib, xla_flags._known = lambda: '0.10.2', lambda flag: True
def stop(workdir):
    print('flags', os.environ['XLA_FLAGS'], flush=True)
    os._exit(0)
command_line.compilation_cache = stop
sys.argv = ['name', *{arguments!r}]
runpy.run_module('s4mim_jax.{command}', run_name='__main__', alter_sys=True)
"""
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, timeout=300,
                          env=os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': '', 'S4MIM_XLA_FLAGS': 'on'})
    assert done.stdout == f'flags {FLAG}\n', done.stderr
