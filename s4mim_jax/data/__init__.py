"""Datasets: readers, splits, checks and the input pipeline. TensorFlow stays in here."""

from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.check import SampleRow, SampleTable, check_samples, label_notes
from s4mim_jax.data.evaluation_stream import evaluation_batches
from s4mim_jax.data.held_out import open_source
from s4mim_jax.data.sizes import network_size
from s4mim_jax.data.source import Sample, Source
from s4mim_jax.data.splits import Split, evaluation_split, training_split

__all__ = ['IGNORE', 'Sample', 'SampleRow', 'SampleTable', 'Source', 'Split', 'check_samples', 'evaluation_batches',
           'evaluation_split', 'label_notes', 'network_size', 'open_source', 'training_batches', 'training_split']


def __getattr__(name: str):
    # Only a run that trains pays for the import of TensorFlow, when it asks for its first batch.
    if name == 'training_batches':
        from s4mim_jax.data.streams import training_batches
        return training_batches
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
