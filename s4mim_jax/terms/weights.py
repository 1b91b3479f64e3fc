"""How much a term weighs at a step: its number, or that number over time."""

import jax.numpy as jnp


def weight(method, name: str, progress):
    """The weight of a term.

    Args:
      method: config.method; reads NAME, NAME_ramp and NAME_schedule. progress: t/T in 0..1, a number or traced.

    Returns:
      a Python number where the weight does not change, else an f32 scalar: the number times progress / ramp, at most
      1, times the line through the schedule's points, which goes on level on either side (ours).
    """
    value, ramp, points = method[name], method[f'{name}_ramp'], method[f'{name}_schedule']
    if ramp:
        value = value * jnp.minimum(progress / ramp, 1.0)
    if points:
        shares, factors = (jnp.asarray(column, jnp.float32) for column in zip(*points))
        value = value * jnp.interp(progress, shares, factors)
    return value


def fault(points) -> str | None:
    """What a schedule must be, where `points` is none; None where it is."""
    number = lambda v: isinstance(v, (int, float)) and not isinstance(v, bool)
    pairs = all(isinstance(p, (tuple, list)) and len(p) == 2 and all(map(number, p)) for p in points)
    if not pairs or any(not 0 <= share <= 1 or factor < 0 for share, factor in points) or any(
            a[0] >= b[0] for a, b in zip(points, points[1:])):
        return 'must be points (share of the steps, factor), shares rising in 0 .. 1, such as ((0.2, 0.0), (0.5, 1.0))'
    return None
