"""Reader `voc`: the layout of PASCAL VOC.

    JPEGImages/ID.jpg    SegmentationClass/ID.png (palette index = class, 255 = border)
    ImageSets/Segmentation/{train,val}.txt

`data.dir` is the folder that holds these three, or VOCdevkit or VOC2012's parent. The list `val`
serves as 'val' and as 'test': the annotations of VOC's own test images are not public.
"""

from pathlib import Path

from s4mim_jax.data.classes import voc_palette
from s4mim_jax.data.source import Sample, Source, cache_dir, mask_lookup, require_targets
from s4mim_jax.errors import InputError

CLASSES = ('background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair',
           'cow', 'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa',
           'train', 'tvmonitor')

# The second holds the masks of the 10,582 images of "train_aug".
MASK_FOLDERS = ('SegmentationClass', 'SegmentationClassAug')


def open_voc(folder: Path, data) -> Source:
    """Opens a VOC folder.

    Raises:
      InputError: none of the three folders, no list `train` or `val`, an empty one, or an id in
        one that has no image.
    """
    root = _root(folder)
    names = {path.stem: path.name for path in (root / 'JPEGImages').iterdir()}
    masks = {path.stem: str(path) for name in reversed(MASK_FOLDERS) if (root / name).is_dir()
             for path in (root / name).iterdir() if path.suffix == '.png'}

    def find(identity: str) -> Sample | None:
        if identity not in names:
            return None
        return Sample(identity, str(root / 'JPEGImages' / names[identity]), masks.get(identity))

    splits = {split: _read_list(root, split, find) for split in ('train', 'val')}
    splits['test'] = splits['val']
    lookup = mask_lookup(data.label_map)
    require_targets(data.label_map, lookup, len(CLASSES))
    roots = (str(root),) if root == folder else (str(root), str(folder))
    return Source(name=data.name, classes=CLASSES, palette=voc_palette(len(CLASSES)), splits=splits,
                  lookup=lookup, dir=str(folder), roots=roots, find=find,
                  cache_dir=cache_dir(folder, data))


def _root(folder: Path) -> Path:
    below = ('', 'VOC2012', 'VOCdevkit/VOC2012')
    for candidate in below:
        if (folder / candidate / 'JPEGImages').is_dir():
            return folder / candidate
    raise InputError(f'--config.data.dir={folder}: no folder JPEGImages, VOC2012/JPEGImages or '
                     f'VOCdevkit/VOC2012/JPEGImages in it')


def _read_list(root: Path, split: str, find) -> tuple[Sample, ...]:
    path = root / 'ImageSets' / 'Segmentation' / f'{split}.txt'
    try:
        identities = path.read_text().split()
    except OSError:
        raise InputError(f'{path}: missing; it lists the ids of split {split!r}') from None
    if not identities:
        raise InputError(f'{path}: empty; it lists the ids of split {split!r}')
    samples = {identity: find(identity) for identity in identities}
    missing = [identity for identity, sample in samples.items() if sample is None]
    if missing:
        raise InputError(f'{path}: {len(missing)} of {len(samples)} ids have no image, e.g. '
                         f'{missing[0]!r}\nvalid: ids of files in {root / "JPEGImages"}')
    return tuple(samples[identity] for identity in sorted(samples))
