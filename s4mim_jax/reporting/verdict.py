"""What a report says first: which method is ahead, by how much, and how far that can be trusted."""

from s4mim_jax.reporting.groups import Group, best_score, test_score
from s4mim_jax.reporting.statistics import differences, summarize
from s4mim_jax.reporting.tables import LABELLED_ONLY, reference_of

SHOWN = 3  # datasets that get a sentence
NOISE = 2.0  # points of mIoU below which a single pair of runs says nothing


def verdict(groups: list[Group]) -> str:
    """Sentences, one dataset and split after the other; the reference is labelled-only where there is one."""
    places = list(dict.fromkeys((group.dataset, group.split) for group in groups))
    told = [_of_place([g for g in groups if (g.dataset, g.split) == place], place) for place in places]
    told = [sentence for sentence in told if sentence]
    if not told:
        return 'No run has a score yet.'
    more = f' {len(told) - SHOWN} more below.' if len(told) > SHOWN else ''
    return ' '.join(told[:SHOWN]) + more


def _of_place(groups: list[Group], place: tuple[str, str]) -> str:
    tested = any(test_score(run) is not None for group in groups for run in group.runs)
    score, name = (test_score, 'test') if tested else (best_score, 'best val')
    scored = [(found.mean, group) for group in groups if (found := summarize(group.by_seed(score).values()))]
    if not scored:
        return ''
    mean, best = max(scored, key=lambda pair: pair[0])
    labelled = best.first.info['split'].get('labeled')
    where = f'{place[0]}, {place[1]}' + (f' ({labelled} labelled images)' if labelled else '')
    text = f'On {where}: {best.name} is best with {name} mIoU {100 * mean:.1f} %'
    reference = reference_of(best, groups)
    known = f'{reference.name}, labelled-only' if reference.first.method == LABELLED_ONLY else reference.name
    if best is reference:
        rivals = len(scored) - 1
        return text + (f'; no other is ahead of the reference ({known}).' if rivals else '.')
    pairs = differences(best.by_seed(score), reference.by_seed(score))
    if not pairs:
        return text + f'; it shares no seed with the reference ({known}).'
    gain, ahead = 100 * sum(pairs) / len(pairs), sum(pair > 0 for pair in pairs)
    seeds = 'one seed each' if len(pairs) == 1 else f'ahead in {ahead} of {len(pairs)} pairs of seeds'
    text += f', {gain:+.1f} points beside the reference ({known}), {seeds}.'
    if len(pairs) == 1 and abs(gain) < NOISE:
        text += ' So small a difference can be chance.'
    elif len(pairs) > 1 and abs(gain) < 100 * (summarize(pairs).sd or 0):
        text += ' That is within the spread between seeds.'
    if not tested:
        text += ' No test score: val chose the checkpoint too, so the score is optimistic.'
    return text
