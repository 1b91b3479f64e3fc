"""Datasets: readers, splits, checks and the input pipeline. TensorFlow stays in here."""

from s4mim_jax.data.check import Row, Table, check_samples
from s4mim_jax.data.source import IGNORE, Sample, Source, open_source
from s4mim_jax.data.splits import Split, evaluation_split, training_split

__all__ = ['IGNORE', 'Row', 'Sample', 'Source', 'Split', 'Table', 'check_samples', 'evaluation_split',
           'open_source', 'training_split']
