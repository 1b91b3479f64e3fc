"""Readers `voc` and `voc:aug`: the layout of PASCAL VOC 2012.

    JPEGImages/ID.jpg    SegmentationClass/ID.png (palette index = class, 255 = border)
    ImageSets/Segmentation/{train,val}.txt
    SegmentationClassAug/ID.png (optional: masks of the augmented set, gray levels or palette)

`data.dir` is the folder that holds these, or VOCdevkit or VOC2012's parent. The list `val` serves as
'val' and as 'test': the annotations of VOC's own test images are not public.

Masks that annotation tools export in this layout are RGB, or palettes in another order: those are read by VOC's
colours. A `classes.txt` beside the folders names other classes and colours, as for reader `folder`.

`voc` trains on the 1,464 images of the list `train`; split lists may name others. `voc:aug` trains on the
10,582 of the augmented set and prefers its masks: those of a list `train_aug.txt` or `trainaug.txt` (bare
ids, or pairs with or without a leading slash, as the public repositories have them), else all images with
a mask that are not in `val`. Masks of 'val' are the clean ones either way.
"""

from pathlib import Path

from s4mim_jax.config.errors import InputError
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.classes import read_classes, read_colors, voc_palette
from s4mim_jax.data.files.images import IMAGE_SUFFIXES
from s4mim_jax.data.files.left_out import Tally
from s4mim_jax.data.files.listing import composed, list_files
from s4mim_jax.data.files.mask_colors import ColorTable, color_table
from s4mim_jax.data.files.text import read_lines
from s4mim_jax.data.source import Sample, Source, make_source

CLASSES = ('background', 'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair',
           'cow', 'diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa',
           'train', 'tvmonitor')

CLEAN, AUGMENTED = 'SegmentationClass', 'SegmentationClassAug'
LISTS = 'ImageSets/Segmentation'
AUGMENTED_LISTS = (f'{LISTS}/train_aug.txt', f'{LISTS}/trainaug.txt', 'train_aug.txt', 'splits/train_aug.txt')


def open_voc(folder: Path, data) -> Source:
    """Opens a VOC folder.

    Raises:
      InputError: none of the three folders, no list `train` or `val`, an empty one, an id in one that
        has no image, a variant that is not 'aug', or no masks of the augmented set.
    """
    variant = data.name.partition(':')[2]
    if ':' in data.name and variant != 'aug':
        raise InputError(f'--config.data.name={data.name}: unknown variant {variant!r}\nvalid: voc, voc:aug')
    root = _root(folder)
    tally = Tally(root / 'JPEGImages')
    images = list_files(tally.where, IMAGE_SUFFIXES, tally)
    clean, augmented = (list_files(root / name, ('.png',), once=False) for name in (CLEAN, AUGMENTED))
    masks = clean | augmented if variant else augmented | clean

    def find(identity: str) -> Sample | None:
        if identity not in images:
            return None
        return Sample(identity, images[identity], masks.get(identity))

    def held_out(identity: str) -> Sample | None:
        sample = find(identity)
        return sample and Sample(identity, sample.image, (augmented | clean).get(identity))

    val = _read_list(root / LISTS / 'val.txt', root, held_out)
    if variant:
        train = _augmented(root, {sample.id for sample in val}, masks, find)
    else:
        train = _read_list(root / LISTS / 'train.txt', root, find)
    named = next((place / 'classes.txt' for place in (root, folder) if (place / 'classes.txt').is_file()), None)
    classes, palette = read_classes(named) if named else (CLASSES, voc_palette(len(CLASSES)))
    colors = read_colors(named, data.mask_colors) if named else _colors(data.mask_colors)
    return make_source(folder, data, classes, palette, {'train': train, 'val': val, 'test': val},
                       roots=tuple(dict.fromkeys((root, folder))), find=find, colors=colors,
                       left_out=tally.result(), mask_folders=(CLEAN, AUGMENTED))


def _colors(mask_colors: str) -> ColorTable | None:
    """VOC's own colours, void among them."""
    if mask_colors == 'never':
        return None
    colors = [(i, tuple(color)) for i, color in enumerate(voc_palette().tolist()) if i < len(CLASSES) or i == IGNORE]
    return color_table(colors, dict(enumerate(CLASSES)), 'the palette of VOC', palettes=mask_colors == 'always')


def _root(folder: Path) -> Path:
    below = ('', 'VOC2012', 'VOCdevkit/VOC2012')
    for candidate in below:
        if (folder / candidate / 'JPEGImages').is_dir():
            return folder / candidate
    raise InputError(f'--config.data.dir={folder}: no folder JPEGImages, VOC2012/JPEGImages or '
                     f'VOCdevkit/VOC2012/JPEGImages in it')


def _augmented(root: Path, val: set[str], masks: dict[str, str], find) -> tuple[Sample, ...]:
    """Training samples of the augmented set, from a list or, without one, from the masks there are."""
    for name in AUGMENTED_LISTS:
        if (root / name).is_file():
            samples = _read_list(root / name, root, find)
            if shared := [sample.id for sample in samples if sample.id in val]:
                raise InputError(f'{root / name}: {len(shared)} ids are in {LISTS}/val.txt too, e.g. {shared[0]!r}\n'
                                 f'valid: training images only')
            return samples
    if (root / AUGMENTED).is_dir():
        return tuple(filter(None, (find(identity) for identity in sorted(masks.keys() - val))))
    raise InputError(f'--config.data.name=voc:aug: no folder {root / AUGMENTED} and no list train_aug.txt or '
                     f'trainaug.txt in {root / LISTS}\nvalid: one of these, or --config.data.name=voc')


def _read_list(path: Path, root: Path, find) -> tuple[Sample, ...]:
    if not path.is_file():
        raise InputError(f'{path}: missing; it lists the ids of split {path.stem!r}')
    lines = [composed(line).split() for line in read_lines(path, bytes_kept=True)]
    identities = [_identity(words[0]) for words in lines if words]
    if not identities:
        raise InputError(f'{path}: empty; it lists the ids of split {path.stem!r}')
    samples = {identity: find(identity) for identity in identities}
    missing = [identity for identity, sample in samples.items() if sample is None]
    if missing:
        raise InputError(f'{path}: {len(missing)} of {len(samples)} ids have no image, e.g. '
                         f'{missing[0]!r}\nvalid: ids of files in {root / "JPEGImages"}')
    return tuple(samples[identity] for identity in sorted(samples))


def _identity(word: str) -> str:
    """'2007_000032' of itself and of '/JPEGImages/2007_000032.jpg'."""
    return Path(word).stem if Path(word).suffix.lower() in IMAGE_SUFFIXES else Path(word).name
