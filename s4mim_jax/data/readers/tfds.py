"""Reader `tfds:NAME[/CONFIG][:VERSION]`: a prepared TensorFlow Dataset, read at random through ArrayRecord.

`data.dir` is TFDS's data_dir. Nothing is downloaded here: a dataset that is not prepared ends with the
command that prepares it. Features come from `data.tfds_image` and `data.tfds_label`, else from
`tfds_known`, else there must be one colour image and one mask. Class names come from the mask's feature,
`tfds_known`, DIR/NAME/classes.txt or the targets of `data.label_map`. Samples are called SPLIT_000123.
"""

import hashlib
import io
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.classes import read_classes, voc_palette
from s4mim_jax.data.label_map import mask_lookup
from s4mim_jax.data.readers import tfds_known
from s4mim_jax.data.source import Sample, Source, make_source

VAL_SHARE = 10  # one of so many training images is held out where there is no validation split
NAMES = {'train': ('train',), 'val': ('validation', 'val', 'valid', 'dev'), 'test': ('test',)}


def open_tfds(folder: Path, data) -> Source:
    """Opens a prepared dataset.

    Raises:
      InputError: no name, not prepared, prepared in a format without random access, features, splits or
        classes that are not there or not told.
    """
    name = data.name.partition(':')[2]
    if not name:
        raise InputError(f'--config.data.name={data.name}: no dataset\nvalid, for example: tfds:oxford_iiit_pet')
    builder = _builder(name, folder)
    known = tfds_known.find(name)
    image, label = _features(builder.info.features, data, known)
    mapping = split_map(data.tfds_splits, list(builder.info.splits), known)
    skip = {feature: tfds.decode.SkipDecoding() for feature, kind in builder.info.features.items()
            if isinstance(kind, tfds.features.Image)}
    try:
        records = {split: builder.as_data_source(split, decoders=skip) for split in {*mapping.values()}}
        first = records[mapping['train']][0]
    except Exception as error:  # whatever TFDS or ArrayRecord make of a damaged file or a wrong split
        raise InputError(f'{builder.data_path}: cannot be read ({type(error).__name__}: {_line(error)})\n'
                         f'splits: {", ".join(builder.info.splits)}') from error
    if known and known.red and _channels(first[label]) == 1:
        known = tfds_known.GRAY[name.partition(':')[0]]

    def read_bytes(key: str) -> bytes:
        _, split, index, feature = key.rsplit('/', 3)
        value = records[split][int(index)][feature]
        if feature == label and known and known.red:
            value = np.array(Image.open(io.BytesIO(value)))[..., 0]
        return value if isinstance(value, bytes) else _png(value)

    place = str(builder.data_path)
    splits = _with_all({ours: tuple(
        Sample(f'{theirs}_{i:06d}', f'{place}/{theirs}/{i}/{image}', f'{place}/{theirs}/{i}/{label}')
        for i in range(len(records[theirs]))) for ours, theirs in mapping.items()})
    # Records change when the dataset is prepared again, which writes this file.
    written = (Path(place) / 'dataset_info.json').stat()
    below = folder / name.partition(':')[0].partition('/')[0]
    classes, palette = _classes(builder.info.features[label], data, known, below)
    return make_source(folder, data, classes, palette, splits, raw=known.raw if known else None,
                       roots=(below, folder), read_bytes=read_bytes,
                       stamp=lambda _: [written.st_size, written.st_mtime_ns])


def split_map(text: str | None, there: list[str], known: tfds_known.FeatureMap | None) -> dict[str, str]:
    """Which TFDS split serves as which of ours: 'train' always, 'val' and 'test' where there is one.

    Args:
      text: `data.tfds_splits`, 'train=train[:90%],val=train[90%:]'.
      there: names of the dataset's splits. known: its feature map, or None.

    Raises:
      InputError: text of another form, or no training split.
    """
    if text is not None:
        pairs = [pair.partition('=') for pair in text.split(',')]
        mapping = {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
        named = {theirs.partition('[')[0] for theirs in mapping.values()}
        if not mapping.keys() <= NAMES.keys() or 'train' not in mapping or not named <= set(there):
            raise InputError(f'--config.data.tfds_splits={text}: pairs OURS=THEIRS between commas, train among ours\n'
                             f'ours: {", ".join(NAMES)}; theirs: {", ".join(there)}')
        return mapping
    if known and known.splits:
        return {ours: theirs for ours, theirs in known.splits.items() if theirs in there}
    mapping = {ours: next((n for n in names if n in there), None) for ours, names in NAMES.items()}
    if mapping['train'] is None:
        raise InputError(f'the dataset has no split train but {", ".join(there)}\n'
                         f'name the splits, for example --config.data.tfds_splits=train={there[0]}')
    return {ours: theirs for ours, theirs in mapping.items() if theirs}


def _with_all(splits: dict[str, tuple[Sample, ...]]) -> dict[str, tuple[Sample, ...]]:
    """Adds what is missing: 'val' is a tenth of 'train', always the same one, and 'test' is 'val'."""
    if 'val' not in splits:
        order = sorted(splits['train'], key=lambda s: hashlib.sha256(f'val:{s.id}'.encode()).digest())
        held_out = set(order[:max(len(order) // VAL_SHARE, 1)])
        splits['val'] = tuple(s for s in splits['train'] if s in held_out)
        splits['train'] = tuple(s for s in splits['train'] if s not in held_out)
    splits.setdefault('test', splits['val'])
    return {name: splits[name] for name in NAMES}


def _builder(name: str, folder: Path):
    # `tfds build` would need Apache Beam.
    build = ('python -c "import tensorflow_datasets as t; t.builder(' +
             f"'{name}', data_dir='{folder}', file_format='array_record').download_and_prepare()" + '"')
    try:
        builder = tfds.core.read_only_builder.builder_from_files(name, data_dir=folder)
    except Exception as error:  # unknown names, configurations and versions come as several kinds
        raise InputError(f'--config.data.name=tfds:{name}: not prepared in {folder}\n'
                         f'prepare it once: {build}') from error
    formats = {builder.info.file_format, *builder.info.alternative_file_formats}
    random = [f for f in formats if f in tfds.core.file_adapters.FileFormat.with_random_access()]
    if not random:
        kind = builder.info.file_format.value
        raise InputError(f'--config.data.name=tfds:{name}: prepared as {kind}, which has no random access\n'
                         f'delete {builder.data_path} and prepare it again: {build}')
    return builder


def _features(features, data, known) -> tuple[str, str]:
    """Names of the image's and the mask's feature."""
    kinds = {'tfds_image': [], 'tfds_label': []}
    for feature, kind in features.items():
        if isinstance(kind, tfds.features.Image):
            kinds['tfds_label' if kind.shape[-1] == 1 else 'tfds_image'].append(feature)
    found = {}
    for key, candidates in kinds.items():
        default = getattr(known, key.removeprefix('tfds_'), None) if known else None
        choice = data[key] or default or (candidates[0] if len(candidates) == 1 else None)
        if choice not in features:
            raise InputError(f'--config.data.{key}={choice}: a feature of the dataset that is '
                             f'{"a mask" if key == "tfds_label" else "an image"}\n'
                             f'features: {", ".join(f"{n} ({_describe(f)})" for n, f in features.items())}')
        found[key] = choice
    return found['tfds_image'], found['tfds_label']


def _classes(feature, data, known, below: Path) -> tuple[tuple[str, ...], np.ndarray]:
    if (below / 'classes.txt').is_file():
        return read_classes(below / 'classes.txt')
    if known:
        return known.classes, known.palette
    if isinstance(feature, tfds.features.LabeledImage):
        return tuple(feature.names), voc_palette(feature.num_classes)
    targets = set(mask_lookup(data.label_map).tolist()) - {IGNORE} if data.label_map else set()
    if not targets or targets != set(range(len(targets))):
        raise InputError(f'--config.data.name={data.name}: the dataset does not tell its classes\nwrite '
                         f'{below / "classes.txt"}, one `id name` a line, or set --config.data.label_map=1:0,2:1')
    return tuple(f'class_{i}' for i in range(len(targets))), voc_palette(len(targets))


def _describe(feature) -> str:
    return f'{type(feature).__name__} {"x".join(str(n or "?") for n in feature.shape)}'.strip()


def _channels(value) -> int:
    """Of a mask as it is stored."""
    if isinstance(value, bytes):
        return len(Image.open(io.BytesIO(value)).getbands())
    return value.shape[-1] if value.ndim == 3 else 1


def _png(values: np.ndarray) -> bytes:
    """A mask or image that TFDS keeps as numbers."""
    values = values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values
    file = io.BytesIO()
    Image.fromarray(values.astype(np.uint8) if values.dtype == bool else values).save(file, 'PNG', compress_level=1)
    return file.getvalue()


def _line(error: Exception) -> str:
    return str(error).partition('\n')[0]
