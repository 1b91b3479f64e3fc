"""Datasets: readers, splits, checks and the input pipeline. TensorFlow stays in here."""

from s4mim_jax.data.check import Row, Table, check_samples
from s4mim_jax.data.source import IGNORE, Sample, Source, open_source

__all__ = ['IGNORE', 'Row', 'Sample', 'Source', 'Table', 'check_samples', 'open_source']
