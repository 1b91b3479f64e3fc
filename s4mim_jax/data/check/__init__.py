"""Checks of images and masks before training; `python -m s4mim_jax.data.check` scans a whole dataset."""

from s4mim_jax.data.check.sample_checks import SampleRow, SampleTable, check_samples, label_notes, mask_values

__all__ = ['SampleRow', 'SampleTable', 'check_samples', 'label_notes', 'mask_values']
