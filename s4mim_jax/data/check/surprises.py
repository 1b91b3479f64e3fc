"""What is no error and yet may be a mistake: labels that are mostly ignored, held-out images that are trained on."""

from collections.abc import Iterable

from s4mim_jax.config.labels import IGNORE
from s4mim_jax.data.files.listing import file_key
from s4mim_jax.data.mask_meaning import labels_of
from s4mim_jax.data.source import Sample, Source

SURPRISING = 0.5  # share of ignored pixels from which it is a warning


def ignored_share(source: Source, labeled: Iterable[Sample]) -> float | None:
    """Share of the pixels of checked masks that have no class, transparent ones among them; None without masks."""
    total = ignored = 0
    for sample in labeled:
        info = source.masks.info.get(sample.mask)
        if info is None or source.masks.reading is None:
            continue
        labels = labels_of(source, source.masks.reading, info)
        ignored += info.hidden + sum(n for label, n in zip(labels, info.counts) if label == IGNORE)
        total += info.hidden + sum(info.counts)
    return ignored / total if total else None


def surprises(source: Source, labeled: Iterable[Sample]) -> list[str]:
    """Lines for the start of training."""
    labeled = list(labeled)
    lines, share = [], ignored_share(source, labeled)
    if share:
        lines.append(f'ignored pixels: {share:.1%} of the {len(labeled)} labelled masks')
        if share > SURPRISING:
            lines[0] = (f'WARNING: {lines[0]}, more than half: of two classes saved as 0 and 255, 255 is a class '
                        '(--config.data.label_map=0:0,255:1)')
    trained = {file_key(sample.image): sample for sample in source.splits['train']}
    for split in ('val', 'test'):
        both = [trained[key] for s in source.splits.get(split, ()) if (key := file_key(s.image)) in trained]
        if both and not (split == 'test' and source.splits['test'] == source.splits.get('val')):
            lines.append(f'WARNING: {len(both)} images of {split} are training images too, by links or lists, e.g. '
                         f'{both[0].image}')
    return lines
