"""For which platform a program is being built: the forms of some operations follow it."""

import contextlib
import contextvars
from collections.abc import Iterator

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
