"""Reader `shapes`: opens the embedded dataset and draws it on first use.

`Sample.image` is 'train/7/image' and `.mask` 'train/7/label': split, record, feature.
"""

import contextlib
import fcntl
import io
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from s4mim_jax.config.errors import InputError
from s4mim_jax.data.label_map import mask_lookup, require_targets
from s4mim_jax.data.shapes.builder import Drawn, Shapes, ShapesLarge
from s4mim_jax.data.shapes.scene import PALETTE
from s4mim_jax.data.source import Sample, Source

FEATURES = ('image', 'label')


def open_shapes(folder: Path, data) -> Source:
    """Opens the dataset in `folder`, which is made when it is not there.

    Raises:
      InputError: the folder cannot be written, or what is in it is damaged.
    """
    return open_drawn(Shapes, PALETTE, folder, data)


def open_large(folder: Path, data) -> Source:
    """As `open_shapes`: a test split of which that of `shapes` is the beginning, and nothing else."""
    return open_drawn(ShapesLarge, PALETTE, folder, data)


def open_drawn(dataset: type[Drawn], palette, folder: Path, data) -> Source:
    """Opens what `dataset` draws; its palette has a colour a class. Otherwise `open_shapes`."""
    records = _records(dataset, folder)
    splits = {split: tuple(Sample(f'{split}_{i:04d}', f'{split}/{i}/image', f'{split}/{i}/label')
                           for i in range(count)) for split, (_, count) in dataset.SPLITS.items()}
    lookup = mask_lookup(data.label_map)
    require_targets(data.label_map, lookup, len(dataset.CLASSES))

    def read_bytes(key: str) -> bytes:
        split, index, feature = key.split('/')
        return records[split][int(index)][feature]

    return Source(name=data.name, classes=dataset.CLASSES, palette=np.array(palette, np.uint8), splits=splits,
                  lookup=lookup, dir=str(folder), roots=(str(folder),), read_bytes=read_bytes)


def _records(dataset: type[Drawn], folder: Path) -> dict:
    """Random access to the encoded records of each split."""
    if not _place(dataset, folder).exists():
        _build(dataset, folder)
    skip = {feature: tfds.decode.SkipDecoding() for feature in FEATURES}
    try:
        builder = tfds.builder_from_directory(_place(dataset, folder))
        records = {split: builder.as_data_source(split, decoders=skip) for split in dataset.SPLITS}
        sizes = {split: len(records[split]) for split in dataset.SPLITS}
        next(iter(records.values()))[0]
    except Exception as error:  # whatever TFDS or ArrayRecord make of a damaged file
        raise InputError(f'{_place(dataset, folder)}: damaged ({type(error).__name__})\n'
                         f'delete this folder; it is drawn again at the next start') from error
    if sizes != {split: count for split, (_, count) in dataset.SPLITS.items()}:
        raise InputError(f'{_place(dataset, folder)}: holds {sizes} examples, not what this version draws\n'
                         f'delete this folder; it is drawn again at the next start')
    return records


def _place(dataset: type[Drawn], folder: Path) -> Path:
    return folder / dataset.name / str(dataset.VERSION)


def _build(dataset: type[Drawn], folder: Path) -> None:
    """Draws beside the place and renames, so that nobody sees half; a second process waits."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / '.lock', 'w')
        draft = tempfile.mkdtemp(prefix='.drawing-', dir=folder)
    except OSError as error:
        raise InputError(f'{folder}: cannot be written ({error.strerror})\n'
                         f'set --config.data.dir to a folder for the drawn dataset') from None
    try:
        with contextlib.suppress(OSError):  # where locks are not to be had, both draw
            fcntl.flock(lock, fcntl.LOCK_EX)
        if _place(dataset, folder).exists():
            return
        tfds.disable_progress_bar()  # ours says how much longer
        with contextlib.redirect_stdout(io.StringIO()):  # it announces a download; there is none
            dataset(data_dir=draft, file_format='array_record').download_and_prepare()
        _place(dataset, folder).parent.mkdir(exist_ok=True)
        try:
            os.rename(_place(dataset, Path(draft)), _place(dataset, folder))
        except OSError:
            if not _place(dataset, folder).exists():  # otherwise another process was first
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        lock.close()
