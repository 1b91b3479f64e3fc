"""Pseudo-labels: what the teacher says and which of it is trusted."""

from s4mim_jax.pseudo_labels.partition import partition_threshold
from s4mim_jax.pseudo_labels.refinement import coherence_table, margin, neighbor_union
from s4mim_jax.pseudo_labels.selection import Target, select
from s4mim_jax.pseudo_labels.teacher import blend, decay_at

__all__ = ['Target', 'blend', 'coherence_table', 'decay_at', 'margin', 'neighbor_union',
           'partition_threshold', 'select']
