"""Pseudo-labels: what the teacher says and which of it is trusted."""

from s4mim_jax.pseudo_labels.selection import Target, select
from s4mim_jax.pseudo_labels.teacher import blend, decay_at

__all__ = ['Target', 'blend', 'decay_at', 'select']
