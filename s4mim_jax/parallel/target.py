"""For which platform a program is being built: the forms of some operations follow it."""

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from pathlib import Path

import jax

_target: contextvars.ContextVar[str | None] = contextvars.ContextVar('target', default=None)


@contextlib.contextmanager
def built_for(platform: str) -> Iterator[None]:
    """While it lasts, programs are traced for `platform` ('cpu', 'gpu' or 'tpu') and not for where JAX runs.

    A step that is traced here for a TPU would otherwise hold the forms that suit this machine's processor.
    """
    token = _target.set(platform)
    try:
        yield
    finally:
        _target.reset(token)


def platform() -> str:
    """The platform that programs are traced for: that of `built_for`, else the one JAX runs on by default."""
    return _target.get() or jax.default_backend()


@functools.cache
def vendor() -> str:
    """Who made this machine's processor, as Linux says it ('GenuineIntel', 'AuthenticAMD', ...), '' = not told."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf8').splitlines()
    except OSError:
        return ''
    return next((line.partition(':')[2].strip() for line in lines if line.startswith('vendor_id')), '')
