"""Tests run on eight simulated CPU devices; this must be set before JAX starts."""

import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# The tests compile much and compute little: without LLVM's expensive passes a step compiles in half the time.
os.environ['XLA_FLAGS'] = ' '.join([os.environ.get('XLA_FLAGS', ''), '--xla_force_host_platform_device_count=8',
                                    '--xla_backend_optimization_level=0', '--xla_llvm_disable_expensive_passes=true'])
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
