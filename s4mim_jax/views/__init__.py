"""What the networks see: photometric views, CutMix and masks, on the device, one key per example."""

from s4mim_jax.views.blur import gaussian_blur, kernel_radius
from s4mim_jax.views.color import brightness, contrast, grayscale, hue, jitter, saturation
from s4mim_jax.views.cutmix import cutmix_boxes, paste
from s4mim_jax.views.freeform import freeform_mask
from s4mim_jax.views.grid import grid_mask
from s4mim_jax.views.normalize import MEAN, STD, as_rgb, denormalize, normalize, normalizer, statistics
from s4mim_jax.views.photometric import photometric

__all__ = ['MEAN', 'STD', 'as_rgb', 'brightness', 'contrast', 'cutmix_boxes', 'denormalize', 'freeform_mask',
           'gaussian_blur', 'grayscale', 'grid_mask', 'hue', 'jitter', 'kernel_radius', 'normalize', 'normalizer',
           'paste', 'photometric', 'saturation', 'statistics']
