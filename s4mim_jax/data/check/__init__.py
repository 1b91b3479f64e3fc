"""Checks of images and masks before training; `python -m s4mim_jax.data.check` walks a whole dataset."""

from s4mim_jax.data.check.table import Row, Table, check_samples, label_notes, mask_values

__all__ = ['Row', 'Table', 'check_samples', 'label_notes', 'mask_values']
