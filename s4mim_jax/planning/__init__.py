"""What a run will need, said before anyone pays for a machine: the parts of `python -m s4mim_jax.plan`."""
