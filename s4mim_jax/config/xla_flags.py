"""A flag of XLA's for programs of the processor, for those who ask for it by S4MIM_XLA_FLAGS=on.

XLA:CPU of these versions hands products and convolutions to a library (YNN) that is slower for some shapes than the
code it had before; the flag takes the work back. It was on by default until whole steps were measured: every one is
slower with it (docs/performance.md), though single operations on large maps gain. XLA ends the process when it meets a
flag that it does not know, and it reads every flag of the environment, so a child process tries the flag once for each
version of jaxlib and its answer is kept. Needs no JAX: it has to come before.
"""

import contextlib
import importlib.util
import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

# jaxlib's version up to its second dot -> flag, as measured on x86-64; other versions and processors run as they come.
MEASURED = {'0.10': '--xla_cpu_experimental_ynn_fusion_type=', '0.12': '--xla_cpu_experimental_ynn_fusion_type='}
SWITCH = 'S4MIM_XLA_FLAGS'
PROCESSORS = ('x86_64', 'AMD64')
# A product and a convolution's kernel gradient: what the flag is about has to compile and to run.
_TRIAL = '''
import jax, jax.numpy as jnp
def loss(k, x):
    y = jax.lax.conv_general_dilated(x, k, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
    return (y @ y.swapaxes(-1, -2)).sum()
found = jax.jit(jax.grad(loss))(jnp.ones((3, 3, 2, 2)), jnp.ones((1, 4, 4, 2)))
assert bool(jnp.isfinite(found).all())
'''


def for_cpu() -> str | None:
    """Adds the flag to XLA_FLAGS where it is asked for and this process's programs are for the processor.

    Every command line that trains or predicts calls it; from Python call it before JAX is first used. It does nothing
    without S4MIM_XLA_FLAGS=on, where JAX may find an accelerator, where XLA_FLAGS names the flag already, whatever its
    value, and where a trial with the installed XLA fails. Set JAX_PLATFORMS=cpu to have it beside an installed
    accelerator.

    Returns:
      the flag if it was added, else None.
    """
    flag = MEASURED.get('.'.join(_jaxlib().split('.')[:2]))
    given = os.environ.get('XLA_FLAGS', '')
    if os.environ.get(SWITCH) != 'on' or flag is None or platform.machine() not in PROCESSORS or not only_cpu():
        return None
    name = flag.partition('=')[0]
    if any(word.partition('=')[0] == name for word in given.split()) or not _known(flag):
        return None
    os.environ['XLA_FLAGS'] = f'{given} {flag}'.strip()
    return flag


def only_cpu() -> bool:
    """Whether JAX will run on the processor, without asking it: asking would start it."""
    asked = os.environ.get('JAX_PLATFORMS', '')
    if asked:
        return asked.split(',')[0] == 'cpu'
    plugins = metadata.entry_points(group='jax_plugins')
    return not plugins and not any(importlib.util.find_spec(name) for name in ('libtpu', 'jax_plugins'))


def _known(flag: str) -> bool:
    """Whether the installed XLA takes the flag; asked of a child process once for each version."""
    key, kept = f'jaxlib {_jaxlib()} {platform.machine()} {flag}', _folder() / 'xla_flags.json'
    answers = _answers(kept)
    if isinstance(answers.get(key), bool):
        return answers[key]
    answer = _try(flag)
    if answer is None:  # the trial itself could not be made: not to be remembered
        return False
    with contextlib.suppress(OSError):  # not kept, the next start asks again
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(f'.{os.getpid()}')
        temporary.write_text(json.dumps(answers | {key: answer}, indent=1) + '\n')
        temporary.replace(kept)
    return answer


def _answers(kept: Path) -> dict:
    """What was asked so far; nothing where the file is not there, or half written by a process that was killed."""
    try:
        answers = json.loads(kept.read_text())
    except (OSError, ValueError):
        return {}
    return answers if isinstance(answers, dict) else {}


def _try(flag: str) -> bool | None:
    """Whether a program runs under the flag; None if none came to an end, or none does without it either."""
    def runs(flags):
        environment = os.environ | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': flags, 'JAX_ENABLE_COMPILATION_CACHE': 'false'}
        return subprocess.run([sys.executable, '-c', _TRIAL], env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120).returncode == 0
    try:
        return runs(flag) or (False if runs('') else None)
    except (OSError, subprocess.TimeoutExpired):
        return None


def _folder() -> Path:
    """Where answers are kept, by the convention of the XDG base directories."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 's4mim_jax'


def _jaxlib() -> str:
    return metadata.version('jaxlib')
