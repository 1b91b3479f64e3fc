"""How good the pseudo-labels are: the share that is kept, accuracy of the kept and of the rejected, agreement.

Some unlabelled images have a mask nevertheless. It is read here and nowhere else: it is logged, never trained on.
"""

import jax.numpy as jnp

from s4mim_jax import terms
from s4mim_jax.config.labels import IGNORE
from s4mim_jax.views.table import WEAK


def shares(forward, batch) -> dict[str, tuple]:
    """Name of a share -> (part, whole), bool [B, H, W]: the share is count(part & whole) / count(whole).

    kept: pixels that are trained on, of the valid ones. agreement: pixels on which the filter decides alike with and
    without refinement. accuracy, accuracy_kept, accuracy_rejected: right pseudo-labels among all pixels whose mask is
    known, among the kept and among the rejected ones. {} without pseudo-labels.
    """
    if WEAK not in forward.targets:
        return {}
    target = forward.targets[WEAK]
    found = {'kept': (target.kept, target.valid)}
    if forward.method.selection.refinement != 'none':
        found['agreement'] = (target.kept == target.unrefined, target.valid)
    if 'label' in batch['unlabeled']:
        hidden = batch['unlabeled']['label'][:, 0].astype(jnp.int32)
        known, right = target.valid & (hidden != IGNORE), hidden == target.label
        found |= {'accuracy': (right, known), 'accuracy_kept': (right, known & target.kept),
                  'accuracy_rejected': (right, known & ~target.kept)}
    return found


def totals(forward, batch) -> dict[str, tuple]:
    """Share name -> (f32 sum, int32 count) over this device's pixels."""
    count = lambda mask: jnp.sum(mask, dtype=jnp.int32)
    return {name: (count(part & whole).astype(jnp.float32), count(whole))
            for name, (part, whole) in shares(forward, batch).items()}


def any_by_class(passes, method) -> bool:
    """Whether `by_class` finds anything in a forward pass of a method."""
    return passes.unlabeled or bool(_class_wise(method))


def needed(passes, method):
    """The passes that `by_class` needs. With an EMA teacher the student's are left out, unless a term is class-wise."""
    if passes.teacher != 'ema' or _class_wise(method):
        return passes
    return passes._replace(calls=(), partner=False)


def by_class(forward, batch, num_classes: int) -> dict[str, tuple]:
    """Name -> (sums, counts) [C].

    Shares by the class of the pseudo-label, int32; 'loss/TERM' of the class-wise terms, all views together and
    unlabelled ones ramped as in the loss, f32 and int32.
    """
    found = shares(forward, batch)
    counts = {}
    if found:
        own = forward.targets[WEAK].label[..., None] == jnp.arange(num_classes)
        count = lambda mask: jnp.sum(own & mask[..., None], axis=(0, 1, 2), dtype=jnp.int32)
        counts = {name: (count(part & whole), count(whole)) for name, (part, whole) in found.items()}
    for name, term in _class_wise(forward.method).items():
        ratios = term.loss(forward)
        counts[f'loss/{name}'] = sum(ratio.total for ratio in ratios), sum(ratio.count for ratio in ratios)
    return counts


def _class_wise(method) -> dict[str, object]:
    """The active terms that are means over classes."""
    return {name: term for name, term in terms.active(method).items() if getattr(term, 'BY_CLASS', False)}


def named(counts: dict[str, tuple], classes) -> dict[str, float | None]:
    """`by_class` as a log line: 'kept/<class>' -> share or mean, None for a class that does not occur."""
    return {f'{name}/{label}': float(part) / float(whole) if whole else None
            for name, (parts, wholes) in counts.items() for label, part, whole in zip(classes, parts, wholes)}
