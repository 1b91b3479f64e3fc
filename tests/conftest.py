"""Tests run on eight simulated CPU devices and keep what they compile; both must be set before JAX starts."""

import hashlib
import os
import platform
from pathlib import Path

from processor_time import pytest_runtest_setup, pytest_runtest_teardown, pytest_terminal_summary  # noqa: F401

LIMIT = 2**31  # bytes of compiled programs that are kept; the oldest go first


def processor() -> str:
    """What a program for this processor must not be confused with: another processor's model and instructions."""
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf8').splitlines()
    except OSError:
        return platform.processor()
    return '\n'.join(sorted({line for line in lines if line.startswith(('model name', 'flags', 'Features'))}))


def trim(folder: Path, limit: int) -> None:
    """Deletes the oldest files of a folder until it holds `limit` bytes at most."""
    files = sorted((entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(folder))
    held = sum(size for _, size, _ in files)
    for _, size, path in files:
        if held <= limit:
            return
        Path(path).unlink(missing_ok=True)
        held -= size


os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# The tests compile much and compute little: without LLVM's expensive passes a step compiles in half the time.
os.environ['XLA_FLAGS'] = ' '.join([os.environ.get('XLA_FLAGS', ''), '--xla_force_host_platform_device_count=8',
                                    '--xla_backend_optimization_level=0', '--xla_llvm_disable_expensive_passes=true'])
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
# Workers share compiled programs, and the next run of the tests finds them; JAX tells versions and flags apart itself.
PROGRAMS = Path(__file__).resolve().parents[1] / '.pytest_cache' / (
    'programs-' + hashlib.sha256(processor().encode()).hexdigest()[:12])
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(PROGRAMS))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')


def pytest_sessionfinish(session):
    if not hasattr(session.config, 'workerinput') and PROGRAMS.is_dir():  # workers are done by then
        trim(PROGRAMS, LIMIT)


# What the platform may change: views, pseudo-labels, terms, the step and where it runs. `launch/test.sh core` runs
# them; launch/matrix.sh does for each pair of Python and JAX.
CORE = ('blur', 'collectives', 'color', 'cutmix', 'dynamic_threshold', 'feature_grid', 'hue', 'masked_terms',
        'masked_views', 'pseudo_labels', 'refinement', 'roundings', 'selection', 'step', 'teacher', 'terms',
        'views_in_step')


def _core(path):
    return path.stem.removeprefix('test_') in CORE


def pytest_ignore_collect(collection_path, config):
    """Other files are not even read when only the core is asked for: they import TensorFlow."""
    asked = (config.option.markexpr or '').startswith('core')
    return True if asked and collection_path.suffix == '.py' and not _core(collection_path) else None


# Files that take minutes begin first, so that the workers, each with whole files, end together.
LONG = ('pairs', 'page_commands', 'interrupted_saves', 'gpu_suite', 'installed', 'tutorial', 'step', 'processes', 'fit',
        'onnx', 'padded_images', 'collectives', 'vit_steps', 'train', 'switches', 'predict', 'export', 'terminal',
        'import_parity', 'dinov3_parity', 'python_api', 'tiled')


def pytest_collection_modifyitems(items):
    for item in items:
        if _core(item.path):
            item.add_marker('core')
    rank = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path.stem.removeprefix('test_'), len(LONG)))  # stable: the others stay
