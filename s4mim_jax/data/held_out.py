"""A `val` where the dataset has none: some of the labelled training images, held out (`config.data.val`)."""

from dataclasses import replace
from fractions import Fraction

from s4mim_jax.config.errors import InputError
from s4mim_jax.data import source as sources
from s4mim_jax.data.source import Source
from s4mim_jax.data.splits import seeded_order

OWN = 'own'
SEED = 0  # one held-out set a dataset, whatever the seed of a run


def open_source(data) -> Source:
    """Opens the dataset that `config.data` names, with a `val`.

    Args:
      data: `config.data`; read are those of `source.open_source`, and val: 'own' = the dataset's; 'seeded:1/5' = where
        it has none, that share of the labelled training images.

    Raises:
      InputError: as `source.open_source`; a share that is none; fewer than two labelled images.
    """
    opened = sources.open_source(data)
    share = _share(data.val)
    if share is None or opened.splits.get('val'):
        return opened
    labelled = [sample for sample in opened.splits['train'] if sample.mask]
    if len(labelled) < 2:
        raise InputError(f'--config.data.val={data.val}: {len(labelled)} labelled training image(s) in {opened.dir}, '
                         'and one of them is to be held out\nvalid: at least two')
    count = min(max(int(len(labelled) * share + Fraction(1, 2)), 1), len(labelled) - 1)
    # The order begins with images that together show every class: those stay in training.
    val = set(seeded_order(opened, labelled, SEED)[-count:])
    splits = opened.splits | {'train': tuple(s for s in opened.splits['train'] if s not in val),
                              'val': tuple(sorted(val, key=lambda s: s.id))}
    note = f'val: {count} of {len(labelled)} labelled training images, held out by {data.val}'
    return replace(opened, splits=splits, notes=(*opened.notes, note))


def _share(text: str) -> Fraction | None:
    if text == OWN:
        return None
    try:
        value = Fraction(text.removeprefix('seeded:')) if text.startswith('seeded:') else Fraction(0)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 0 < value < 1:
        raise InputError(f'--config.data.val={text}\nvalid: own, or seeded:1/5 with a share between 0 and 1')
    return value
