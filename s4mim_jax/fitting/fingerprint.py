"""What a dataset and a machine are, as far as the rules ask: counts, sizes, channels, classes, objects, memory."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from s4mim_jax import data
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.classes import read_classes
from s4mim_jax.data.files.text import read_lines
from s4mim_jax.data.samples import read_label
from s4mim_jax.fitting.pixels import PixelSettings, pixel_settings
from s4mim_jax.fitting.weights import Weights, weights_at_hand

MASKS = 1000  # looked at for values other than 0 and 255, until one has another
LOOKED_AT = 60  # masks whose shares and objects are counted, 12 images whose pixels are read; evenly spaced


@dataclass(frozen=True)
class Fingerprint:
    """Attributes:
      name, dir: of the dataset. classes: C names.
      labelled, unlabelled: training images with a mask in use and without. val, test: images that are scored; 0 = none.
      held_out: val images that were taken from the labelled ones, because there was no val.
      size: median (height, width). sizes: how many different ones. aspects: width / height, 10th and 90th percentile.
      pixels: channels, range, statistics. label_map: of masks that hold 0 and 255, else None.
      shares: of the labelled pixels, a class. absent: names of classes that no labelled mask shows.
      objects: median side of the connected regions of a class, as a share of the image's short side; None = absent.
      platform: 'cpu', 'gpu' or 'tpu'. devices. memory: bytes of one. cores: of this machine.
      weights: pretrained files that lie at hand.
    """

    name: str
    dir: str
    classes: tuple[str, ...]
    labelled: int
    unlabelled: int
    val: int
    test: int
    held_out: int
    size: tuple[int, int]
    sizes: int
    aspects: tuple[float, float]
    pixels: PixelSettings
    label_map: str | None
    shares: tuple[float, ...]
    objects: tuple[float | None, ...]
    platform: str
    devices: int
    memory: int
    cores: int
    weights: tuple[Weights, ...] = ()

    @property
    def absent(self) -> tuple[str, ...]:
        return tuple(name for name, share in zip(self.classes, self.shares) if not share)

    @property
    def finest(self) -> float:
        """Side of the typical object of the class with the smallest ones, as a share of the image's short side."""
        return min((side for side in self.objects if side), default=1.0)


def take(config) -> Fingerprint:
    """Looks at the dataset of a config, and at this machine.

    Args:
      config: whole config; read are seed and data. Set are data.channels, value_range, mean, std, label_map and val, as
        far as they stand at their defaults, so that the dataset can be opened with them.

    Raises:
      InputError: the dataset cannot be opened, has no labelled image, or files that cannot be read.
    """
    import jax

    from s4mim_jax.planning import memory
    label_map = _label_map(config.data)
    if label_map:
        config.data.label_map = label_map
    own_val = bool(data.open_source(config.data).splits.get('val'))
    if not own_val and config.data.val == 'own':
        config.data.val = 'seeded:1/5'
    source = data.open_source(config.data)
    form = pixel_settings(_spaced(source.splits['train'], 12), source, config.data)
    config.data.update(channels=form.channels, value_range=form.value_range, mean=form.mean, std=form.std)
    source = data.open_source(config.data)
    split = data.training_split(source, config.data.split, config.seed)
    samples = [s for group in (split.labeled, split.unlabeled, source.splits['val']) for s in group]
    table = data.check_samples(source, samples)
    rows = [table[sample] for sample in dict.fromkeys(samples)]
    heights, widths = np.array([(row.height, row.width) for row in rows]).T
    labelled = {sample.image for sample in split.labeled}
    shares, objects = _classes(source, _spaced(split.labeled, LOOKED_AT))
    return Fingerprint(
        name=source.name, dir=str(Path(source.dir).resolve()), classes=source.classes, labelled=len(split.labeled),
        unlabelled=sum(sample.image not in labelled for sample in split.unlabeled),
        val=len(source.splits['val']), test=scored_test(source),
        held_out=0 if own_val else len(source.splits['val']),
        size=(int(np.median(heights)), int(np.median(widths))), sizes=len(set(zip(heights.tolist(), widths.tolist()))),
        aspects=tuple(np.percentile(widths / heights, (10, 90)).round(3).tolist()), pixels=form,
        label_map=config.data.label_map, shares=shares, objects=objects, platform=jax.devices()[0].platform,
        devices=jax.device_count(), memory=int(memory.device_bytes() or 0), cores=len(os.sched_getaffinity(0)),
        weights=weights_at_hand(Path(source.dir)))


def scored_test(source) -> int:
    """Images of a test split that can be scored: with a mask each, and not those of val under another name."""
    samples = source.splits.get('test', ())
    return len(samples) if all(sample.mask for sample in samples) and samples != source.splits['val'] else 0


def _spaced(samples, count: int) -> list:
    return [samples[i * len(samples) // min(count, len(samples))] for i in range(min(count, len(samples)))]


def _label_map(config) -> str | None:
    """'0:0,255:1' where a folder has masks of 0 and 255 alone, and no classes.txt that names more or a void."""
    if config.label_map or config.name != 'folder' or not config.dir:
        return config.label_map
    folder = Path(config.dir)
    masks = sorted((folder / 'masks').rglob('*.png')) if (folder / 'masks').is_dir() else []
    listed = folder / 'classes.txt'
    if not masks or listed.is_file() and not _two_classes(listed):
        return None
    values = set()
    for path in _spaced(masks, MASKS):
        values |= _gray_values(path)
        if not values <= {0, IGNORE}:
            return None
    return '0:0,255:1' if values == {0, IGNORE} else None


def _two_classes(listed: Path) -> bool:
    """Whether a classes.txt names two classes and nothing that is ignored."""
    void = any(line.split()[:1] == [str(IGNORE)] for line in read_lines(listed))
    return not void and len(read_classes(listed)[0]) == 2


def _gray_values(path: Path) -> set[int]:
    """Values of a gray mask; {-1} of any other file, whose meaning is told when the dataset is opened."""
    try:
        with Image.open(path) as image:
            return set(np.unique(np.asarray(image)).tolist()) if image.mode == 'L' else {-1}
    except (OSError, ValueError, SyntaxError):
        return {-1}


def _classes(source, samples) -> tuple[tuple[float, ...], tuple[float | None, ...]]:
    """Shares of the labelled pixels, and median object sides, a class."""
    pixels, sides = Counter(), {i: [] for i in range(source.num_classes)}
    for sample in samples:
        label = read_label(source, sample)
        for value in np.unique(label[label != IGNORE]).tolist():
            mask = label == value
            pixels[value] += int(mask.sum())
            areas = np.bincount(ndimage.label(mask)[0].ravel())[1:]
            big = areas[areas >= max(4, areas.max() / 50)]  # specks of a ragged border are no objects
            sides[value] += np.sqrt(big / min(label.shape) ** 2).tolist()
    total = max(sum(pixels.values()), 1)
    shares = tuple(pixels[i] / total for i in range(source.num_classes))
    return shares, tuple(float(np.median(s)) if s else None for s in sides.values())


def describe(found: Fingerprint) -> list[str]:
    """The fingerprint in lines for a person."""
    gigabytes = f'{found.memory / 2**30:.0f} GiB' if found.memory else 'unknown memory'
    rare = sorted((share, name) for name, share in zip(found.classes, found.shares) if share)[:3]
    held = f' (held out of the labelled ones: {found.held_out})' if found.held_out else ''
    lines = [
        f'{found.name} in {found.dir}: {len(found.classes)} classes',
        f'images: {found.labelled} labelled, {found.unlabelled} unlabelled, {found.val} val{held}, {found.test} test',
        f'size: {found.size[0]} x {found.size[1]} (height x width'
        + (f', median of {found.sizes} sizes)' if found.sizes > 1 else ')') + f', {found.pixels.text}',
        'rarest classes: ' + ', '.join(f'{name} {100 * share:.2g} % of the labelled pixels' for share, name in rare),
        f'smallest objects: about {100 * found.finest:.1f} % of the image\'s short side',
        f'machine: {found.devices} {found.platform} device(s), {gigabytes}, {found.cores} cores',
        'weights at hand: ' + (', '.join(f'{w.encoder} ({w.path})' for w in found.weights) or 'none')]
    if found.absent:
        lines.append(f'never labelled: {", ".join(found.absent)}')
    return lines
