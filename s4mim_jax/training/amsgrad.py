"""AMSGrad as PyTorch computes it."""

import jax
import jax.numpy as jnp
import optax


def scale_by_amsgrad(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> optax.GradientTransformation:
    """Adam's direction with the largest second moment so far in place of the current one.

    As in torch.optim.Adam(amsgrad=True), the maximum is taken of the raw second moments and its bias is
    corrected afterwards. Optax takes it of corrected ones: there the first gradients, which the
    correction weighs up most, hold the steps down for good.

    Args:
      b1, b2: decay of the first and second moment. eps: added to the root of the second.
    """
    def init(params):
        zeros = lambda: jax.tree.map(jnp.zeros_like, params)
        return optax.ScaleByAmsgradState(jnp.zeros((), jnp.int32), zeros(), zeros(), zeros())

    def update(gradients, state, params=None):
        del params
        count = optax.safe_increment(state.count)
        first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.mu, gradients)
        second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.nu, gradients)
        largest = jax.tree.map(jnp.maximum, state.nu_max, second)
        bias1, bias2 = 1 - b1**count, 1 - b2**count
        steps = jax.tree.map(lambda m, v: (m / bias1) / (jnp.sqrt(v / bias2) + eps), first, largest)
        return steps, optax.ScaleByAmsgradState(count, first, second, largest)

    return optax.GradientTransformation(init, update)
