"""Names from before the rooms."""

import importlib
import subprocess
import sys

from s4mim_jax import former_paths


def test_every_former_module_is_the_one_of_today():
    for former, today in former_paths.FORMER.items():
        old = importlib.import_module(f's4mim_jax.{former}')
        new = importlib.import_module(f's4mim_jax.{today}')
        assert old is new and new.__spec__.name == f's4mim_jax.{today}', former


def test_an_error_of_today_is_caught_under_its_former_name():
    code = ('from s4mim_jax.errors import InputError\nfrom s4mim_jax.config.command_line import load_config\n'
            'try: load_config(None, [])\nexcept InputError: print("caught")')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120)
    assert done.stdout == 'caught\n', done.stderr
