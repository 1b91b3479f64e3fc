"""The tables of a report: scores, classes, cost and runs, over groups."""

from dataclasses import dataclass, field

from s4mim_jax.reporting.groups import Group, best_score, final_score, test_score
from s4mim_jax.reporting.runs import number
from s4mim_jax.reporting.statistics import Summary, differences, summarize

NONE = '–'
LABELLED_ONLY = 'supervised'  # the method without unlabelled images


@dataclass
class Table:
    """Text cells; the first column names the row. `colors`: one a row, of its group, or none."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)
    colors: list[str] = field(default_factory=list)


def show(summary: Summary | None, of: int, factor: float = 100.0, digits: int = 2, sign: str = '') -> str:
    """`63.12 ± 0.45`, with `(2 of 3)` behind it where fewer than `of` runs have the number."""
    if summary is None:
        return NONE
    text = f'{factor * summary.mean:{sign}.{digits}f}'
    if summary.sd is not None:
        text += f' ± {factor * summary.sd:.{digits}f}'
    return text + (f' ({summary.count} of {of})' if summary.count != of else '')


def reference_of(group: Group, groups: list[Group]) -> Group:
    """Labelled-only on this group's dataset and split, else the first group there: other data tell nothing."""
    same = [g for g in groups if (g.dataset, g.split) == (group.dataset, group.split)]
    return next((g for g in same if g.first.method == LABELLED_ONLY), same[0])


def summary_table(groups: list[Group]) -> Table:
    """A row a group: what was trained on what, and how well it scores."""
    tested = any(test_score(run) is not None for group in groups for run in group.runs)
    compared, name = (test_score, 'test') if tested else (best_score, 'best val')
    rows = []
    for group in groups:
        reference, count = reference_of(group, groups), len(group.runs)
        paired = differences(group.by_seed(compared), reference.by_seed(compared))
        labeled = sorted({run.info['split'].get('labeled', NONE) for run in group.runs}, key=str)
        rows.append([
            group.name, f'{group.dataset}, {group.split}', ' / '.join(map(str, labeled)),
            _seeds(group), _steps(group),
            *(show(summarize(group.by_seed(score).values()), count) for score in (final_score, best_score, test_score)),
            ' / '.join(sorted({run.test.checkpoint for run in group.runs if run.test})) or NONE,
            'reference' if group is reference else show(summarize(paired), len(paired), sign='+'),
            NONE if group is reference else str(len(paired))])
    return Table(
        'Summary',
        ['method', 'dataset, split', 'labelled images', 'seeds', 'steps', 'final val mIoU', 'best val mIoU',
         'test mIoU', 'tested weights', f'{name} − reference', 'pairs'], rows, [
            'mIoU in percent: mean ± standard deviation over seeds (n − 1); a single seed has no deviation.',
            'The best val mIoU is the largest of all evaluations during training, and so is optimistic; '
            'the test score is that of the weights named beside it.',
            f'{name} − reference: mean ± standard deviation of the differences between runs of the same seed; the '
            'reference is labelled-only (`supervised`) on the same dataset and split, else the first group there.'],
        [group.color for group in groups])


def _seeds(group: Group) -> str:
    seeds = [str(run.seed) for run in group.runs]
    return f'1 (seed {seeds[0]})' if len(seeds) == 1 else f'{len(seeds)} ({", ".join(seeds)})'


def _steps(group: Group) -> str:
    steps, total = sorted({run.step for run in group.runs}), group.first.config['total_steps']
    done = str(steps[0]) if len(steps) == 1 else f'{steps[0]} to {steps[-1]}'
    return done if steps == [total] else f'{done} of {total}'


def class_scores(group: Group) -> tuple[str, dict[str, float | None]]:
    """IoU per class, mean over the runs that have it, and where it is from: the test result, or
    the last evaluation during training if no run of the group has one."""
    tested = [run for run in group.runs if run.test]
    if tested:
        rows = [run.test.values['iou'] for run in tested]
        where = 'test'
    else:
        lines = [run.last(run.evaluated) for run in group.runs]
        rows = [{key.removeprefix('iou/'): value for key, value in line.items() if key.startswith('iou/')}
                for line in lines]
        where = group.first.evaluated
    means = {}
    for name in all_classes([group]):
        found = summarize(number(row.get(name)) for row in rows)
        means[name] = found.mean if found else None
    return where, means


def all_classes(groups: list[Group]) -> list[str]:
    """Class names of all groups, each once, in the order of their ids."""
    return list(dict.fromkeys(str(name) for group in groups for name in group.first.classes))


def class_table(groups: list[Group]) -> Table:
    """IoU of every class for every group."""
    scores = [class_scores(group) for group in groups]
    sources = sorted({where for where, means in scores if any(v is not None for v in means.values())})
    head = [group.name if len(sources) < 2 else f'{group.name} [{where}]' for group, (where, _) in zip(groups, scores)]
    rows = [[name, *(NONE if means.get(name) is None else f'{100 * means[name]:.1f}' for _, means in scores)]
            for name in all_classes(groups)]
    rows = [row for row in rows if set(row[1:]) != {NONE}]
    notes = [f'IoU in percent on {" and ".join(sources)}, mean over seeds; {NONE}: absent or not evaluated.']
    if len(sources) > 1:
        notes.append('Columns of different splits (in square brackets) must not be compared.')
    return Table('IoU per class', ['class', *head], rows, notes)


# Column, key of cost.json, factor, digits.
COSTS = (('seconds a step', 'step_seconds', 1.0, 3), ('images/s', 'images_per_second', 1.0, 1),
         ('compilation, s', 'compile_seconds', 1.0, 1), ('device memory, GiB', 'device_bytes', 2.0**-30, 2),
         ('GFLOP a step', 'flops', 1e-9, 1))
RATIOS = ('step_seconds', 'device_bytes', 'flops')


def cost_tables(groups: list[Group]) -> list[Table]:
    """Cost and the network passes behind it; empty when no run has a cost.json."""
    if not any(run.cost for group in groups for run in group.runs):
        return []

    def mean(group: Group, key: str) -> Summary | None:
        return summarize(number(run.cost.get(key)) for run in group.runs)

    rows = []
    for group in groups:
        cells = []
        for _, key, factor, digits in COSTS:
            here, first = mean(group, key), mean(reference_of(group, groups), key)
            cells.append(NONE if here is None else f'{factor * here.mean:.{digits}f}')
            if key in RATIOS:
                cells[-1] += f' (x {here.mean / first.mean:.2f})' if here and first and first.mean else ''
        devices = {str((run.info.get('devices') or {}).get('kind', NONE)) for run in group.runs}
        rows.append([group.name, *cells, ' / '.join(sorted(devices))])
    notes = ['Mean over the runs that were measured; (x ratio) to the reference of the summary.']
    if len({row[-1] for row in rows}) > 1:
        notes.append('The devices differ: seconds and rates of different devices must not be compared.')
    colors = [group.color for group in groups]
    tables = [Table('Cost', ['method', *(name for name, *_ in COSTS), 'device'], rows, notes, colors)]
    passes = [[group.name, *row] for group in groups for row in _passes(group)]
    if passes:
        tables.append(Table('Network passes of a step', ['method', 'call', 'views', 'encoded', 'decoded', 'gradient'],
                            passes, ['encoded, decoded: images that go through the encoder and the decoder.']))
    return tables


def _passes(group: Group) -> list[list[str]]:
    listed = next((run.cost['passes'] for run in group.runs if isinstance(run.cost.get('passes'), list)), [])
    text = lambda value: NONE if value is None else ' '.join(map(str, value if isinstance(value, list) else [value]))
    return [[text(one.get('call')), text(one.get('views')), text(one.get('encoded')), text(one.get('decoded')),
             'yes' if one.get('gradient') is True else 'no' if one.get('gradient') is False else NONE]
            for one in listed if isinstance(one, dict)]


def run_table(groups: list[Group]) -> Table:
    """A row a run: where it lies, its own numbers, code and device."""
    score = lambda value: NONE if value is None else f'{100 * value:.2f}'
    rows = []
    for group in groups:
        for run in group.runs:
            devices = run.info.get('devices') or {}
            rows.append([str(run.path), group.name, str(run.seed), str(run.step), score(final_score(run)),
                         score(best_score(run)), score(test_score(run)), run.code,
                         f'{devices.get("count", NONE)} x {devices.get("kind", NONE)}'])
    return Table('Runs', ['folder', 'group', 'seed', 'step', 'final val', 'best val', 'test', 'git', 'devices'], rows)
