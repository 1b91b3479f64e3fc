"""Labels as annotation tools write them: labelme, COCO, Label Studio, CVAT, Roboflow, YOLO.

One file a format reads it into a `LabelSet`; `opening` makes a dataset of it, `writing` a folder of masks.
"""

from s4mim_jax.data.label_formats.label_set import LabelSet, Picture, Region, render
from s4mim_jax.data.label_formats.opening import open_export, read_labels
from s4mim_jax.data.label_formats.recognise import NAMES, recognise

__all__ = ['NAMES', 'LabelSet', 'Picture', 'Region', 'open_export', 'read_labels', 'recognise', 'render']
