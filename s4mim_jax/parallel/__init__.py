"""Meshes, collectives and processes."""

from s4mim_jax.parallel.collectives import Collectives
from s4mim_jax.parallel.mesh import batch_sharding, check_batch, make_mesh, put_batch, replicated, state_shardings

__all__ = ['Collectives', 'batch_sharding', 'check_batch', 'make_mesh', 'put_batch', 'replicated',
           'state_shardings']
