"""Predictions of every group on the same images. The one part that needs JAX, the data and checkpoints."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from s4mim_jax.config.errors import InputError
from s4mim_jax.reporting.groups import Group


@dataclass
class Gallery:
    """Images of one dataset with what each group makes of them.

    Attributes:
      dataset, split: where the images are from. ids: of the images, N.
      images: uint8 [H, W, channels] each. labels: uint8 [H, W] each, 255 = ignored.
      classes: names. palette: uint8 [C, 3].
      predictions: (group, what predicted, N times uint8 [H, W]).
    """

    dataset: str
    split: str
    ids: list[str]
    images: list[np.ndarray]
    labels: list[np.ndarray]
    classes: tuple[str, ...]
    palette: np.ndarray
    predictions: list[tuple[Group, str, list[np.ndarray]]] = field(default_factory=list)


def predict(groups: list[Group], count: int, overrides: Sequence[tuple[str, str]] = (),
            say: Callable[[str], None] = print) -> tuple[list[Gallery], list[str]]:
    """Predicts `count` images, evenly spaced over the split, with one run of every group.

    Args:
      groups: those whose runs learn on the same data share a gallery.
      count: images of a gallery. overrides: of the configs, see `s4mim_jax.load`. say: takes lines of progress.

    Returns:
      (galleries, a note for every group, or dataset, that cannot be shown).
    """
    galleries: dict[tuple, Gallery | None] = {}
    notes = []
    places = [_place(group, overrides) for group in groups]
    tested = {place for place, group in zip(places, groups) if any(run.test for run in group.runs)}
    for index, (place, group) in enumerate(zip(places, groups), 1):
        split = 'test' if place in tested else group.first.evaluated
        key = place, split
        if key not in galleries:
            galleries[key], note = _attempt(lambda: _open(group, split, count, overrides))
            notes += [f'No predictions on {group.dataset}, {split}: {note}'] if note else []
        gallery = galleries[key]
        if gallery is None:
            continue
        say(f'predicting with {group.name} ({index}/{len(groups)})')
        found, note = _attempt(lambda: _predict(group, gallery, overrides))
        if note:
            notes.append(f'{group.name} is not shown: {note}')
        else:
            gallery.predictions.append((group, *found))
        gc.collect()  # one model at a time in memory
    return [gallery for gallery in galleries.values() if gallery and gallery.predictions], notes


def _place(group: Group, overrides) -> str:
    """What decides which images and labels a group has."""
    config = group.first.config | dict(overrides)
    return repr([config.get(f'data.{key}') for key in ('name', 'dir', 'label_map', 'mask_colors', 'channels',
                                                       'value_range', 'tfds_image', 'tfds_label', 'tfds_splits')])


def _attempt(function):
    """(result, None) or (None, why not). A checkpoint or dataset fails in as many ways as the libraries
    that read it have exceptions, and none of them is worth the rest of the report."""
    try:
        return function(), None
    except InputError as error:
        return None, str(error).replace('\n', '; ')
    except Exception as error:  # pylint: disable=broad-except
        return None, f'{type(error).__name__}: {str(error).partition(chr(10))[0]}'


def _open(group: Group, split: str, count: int, overrides) -> Gallery:
    from s4mim_jax import data
    from s4mim_jax.data.samples import read_image, read_label
    from s4mim_jax.data.source import resolve_dir
    from s4mim_jax.runs.run_folder import read_config, read_json
    config = read_config(group.first.path, overrides).data
    folder = resolve_dir(config)
    if not folder.is_dir():  # the embedded dataset would be drawn, which a report should not do
        raise InputError(f'no folder {folder}; set --config.data.dir=FOLDER')
    source = data.open_source(config)
    source.masks.adopt(read_json(group.first.path / 'run.json').get('masks'))
    samples = data.evaluation_split(source, split)
    # Evenly spaced: nobody chose them for what they show.
    chosen = [samples[i * len(samples) // min(count, len(samples))] for i in range(min(count, len(samples)))]
    return Gallery(
        group.dataset, split, [sample.id for sample in chosen],
        [read_image(source, sample) for sample in chosen],
        [read_label(source, sample) for sample in chosen],
        tuple(source.classes), source.palette)


def _predict(group: Group, gallery: Gallery, overrides) -> tuple[str, list[np.ndarray]]:
    """With the first seed whose checkpoint can be read; raises what the last one raised."""
    from s4mim_jax.prediction.loading import load
    for run in group.runs:
        try:
            if tuple(run.classes) != gallery.classes:
                raise InputError(f'{run.path} has other classes than the data')
            predictor = load(run.path, overrides=overrides)
            name = f'seed {run.seed}, {predictor.weights} of step {predictor.step}'
            return name, predictor(gallery.images)
        except InputError:
            if run is group.runs[-1]:
                raise
