"""`config.precision = 'auto'`: bfloat16 where matrix units compute it at twice the rate, float32 on a CPU."""

import jax
import jax.numpy as jnp

ACCELERATORS = ('gpu', 'tpu')


def compute_dtype(config, platform: str | None = None):
    """dtype of the networks' computation; parameters, statistics, logits and losses are float32 in any case.

    Args:
      config: a whole config; reads precision.
      platform: that 'auto' is decided for, None = where JAX runs by default.
    """
    precision = config.precision
    if precision == 'auto':
        precision = 'bfloat16' if (platform or jax.default_backend()) in ACCELERATORS else 'float32'
    return jnp.dtype(precision)


def with_precision(config, stored: str | None = None, platform: str | None = None):
    """The config with 'auto' replaced by what it means, so that a run folder says what was computed.

    Args:
      config: a whole config.
      stored: precision of the run that is continued, which holds on another machine too; None = a new run.
      platform: as in `compute_dtype`.
    """
    if config.precision != 'auto':
        return config
    config = config.copy_and_resolve_references()
    config.precision = stored or compute_dtype(config, platform).name
    return config.lock()
