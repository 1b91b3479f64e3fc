"""Modules that moved into rooms are found under their former names as well: other people's scripts import them."""

import importlib
import importlib.abc
import importlib.machinery
import sys

FORMER = {
    'command': 'config.command_line', 'validate': 'config.validation', 'errors': 'config.errors',
    'overrides': 'config.overrides', 'recipes': 'config.recipes', 'precision': 'config.precision',
    'encoder_sizes': 'config.encoder_sizes', 'hardware': 'planning.hardware', 'training.memory': 'planning.memory',
    'predictor': 'prediction.predictor', 'loading': 'prediction.loading', 'exported': 'prediction.exported',
    'pseudo_label_files': 'prediction.pseudo_label_files', 'prediction_files': 'prediction.files',
    'training.progress': 'runs.throughput', 'training.scene': 'training.forward', 'views.keys': 'views.randomness',
    'views.scenes': 'views.build', 'models.positions': 'models.feature_grid',
    'pseudo_labels.partition': 'pseudo_labels.dynamic_threshold',
    **{f'training.{name}': f'runs.{name}' for name in (
        'loop', 'feed', 'signals', 'run_folder', 'checkpoints', 'storage', 'monitoring', 'panels', 'fine_tune')},
    **{f'training.{name}': f'planning.{name}' for name in ('class_weights', 'coherence')},
    **{f'data.{name}': f'data.readers.{name}' for name in (
        'ade20k', 'camvid', 'cityscapes', 'coco', 'folder', 'voc', 'tfds_known')},
    'data.tfds_reader': 'data.readers.tfds',
    **{f'data.{name}': f'data.files.{name}' for name in (
        'images', 'tiff', 'mask_colors', 'pixel_format')},
    'data.facts': 'data.files.image_info', 'data.walk': 'data.files.scan', 'data.shape_plan': 'data.shape_buckets',
}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `s4mim_jax.FORMER` as the very module that it is now."""

    def find_spec(self, name, path=None, target=None):
        package, _, former = name.partition('.')
        if package != __package__ or former not in FORMER:
            return None
        return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        module = importlib.import_module(f'{__package__}.{FORMER[spec.name.partition(".")[2]]}')
        self._spec = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = self._spec  # the machinery has put the former name's there


def install() -> None:
    """Behind all other finders, so that a module of that name comes first."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
