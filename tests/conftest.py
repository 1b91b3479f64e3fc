"""Tests run on eight simulated CPU devices; this must be set before JAX starts."""

import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# The tests compile much and compute little: without LLVM's expensive passes a step compiles in half the time.
os.environ['XLA_FLAGS'] = ' '.join([os.environ.get('XLA_FLAGS', ''), '--xla_force_host_platform_device_count=8',
                                    '--xla_backend_optimization_level=0', '--xla_llvm_disable_expensive_passes=true'])
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')

# What the platform may change: views, pseudo-labels, terms, the step and where it runs. `launch/test.sh core` runs
# them; launch/matrix.sh does for each pair of Python and JAX.
CORE = ('blur', 'collectives', 'color', 'cutmix', 'hue', 'masked_terms', 'masked_views', 'partition', 'positions',
        'pseudo_labels', 'refinement', 'roundings', 'selection', 'step', 'teacher', 'terms', 'views_in_step')


def _core(path):
    return path.stem.removeprefix('test_') in CORE


def pytest_ignore_collect(collection_path, config):
    """Other files are not even read when only the core is asked for: they import TensorFlow."""
    asked = (config.option.markexpr or '').startswith('core')
    return True if asked and collection_path.suffix == '.py' and not _core(collection_path) else None


def pytest_collection_modifyitems(items):
    for item in items:
        if _core(item.path):
            item.add_marker('core')
