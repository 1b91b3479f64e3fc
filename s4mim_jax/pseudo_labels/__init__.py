"""Pseudo-labels: what the teacher says and which of it is trusted."""

from s4mim_jax.pseudo_labels.coherence import coherence_table
from s4mim_jax.pseudo_labels.dynamic_threshold import partition_threshold
from s4mim_jax.pseudo_labels.refinement import margin, neighbor_union
from s4mim_jax.pseudo_labels.selection import Target, nearest, select
from s4mim_jax.pseudo_labels.teacher import Maps, blend, decay_at, ensemble, longest_decay, snapped

__all__ = ['Maps', 'Target', 'blend', 'coherence_table', 'decay_at', 'longest_decay', 'ensemble', 'margin', 'nearest',
           'neighbor_union', 'partition_threshold', 'select', 'snapped']
