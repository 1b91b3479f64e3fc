"""Plots over steps: scores, losses, pseudo-labels; and the scores of all seeds side by side."""

from collections.abc import Callable

from s4mim_jax.reporting.figures import Picture, add_legend, grid_shape, new_figure, plain, png, style
from s4mim_jax.reporting.groups import Group, best_score, test_score
from s4mim_jax.reporting.runs import Run
from s4mim_jax.reporting.statistics import band, summarize

READING = 'Line: mean over seeds, as far as all seeds have got; band: least and largest value; thin: a single seed.'
PSEUDO_LABELS = (('kept', 'kept pixels, %'), ('accuracy_kept', 'accuracy of kept, %'),
                 ('accuracy_rejected', 'accuracy of rejected, %'), ('accuracy', 'accuracy of all, %'),
                 ('agreement', 'agreement of raw and refined filter, %'))
SPAN = 10.0  # points of percent that an axis shows at least: half a point must not look like a cliff
LOG_FROM = 50.0  # a loss that spans this factor gets a logarithmic axis


def score_picture(groups: list[Group]) -> Picture | None:
    """Every seed as a dot, mean and standard deviation beside it; None when nothing was scored."""
    tested = any(test_score(run) is not None for group in groups for run in group.runs)
    score, where = (test_score, 'test') if tested else (best_score, 'best val')
    if not any(score(run) is not None for group in groups for run in group.runs):
        return None
    with style():
        figure = new_figure(9.0, 1.0 + 0.42 * len(groups))
        axes = figure.subplots()
        for row, group in enumerate(groups):
            values = [100 * v for v in group.by_seed(score).values() if v is not None]
            summary = summarize(values)
            if summary is None:
                continue
            axes.plot(values, [row + 0.16] * len(values), 'o', markersize=5, color=group.color, alpha=0.55)
            axes.errorbar(summary.mean, row - 0.12, xerr=summary.sd, fmt='D', markersize=6, capsize=4,
                          color=group.color)
            axes.annotate(f'{summary.mean:.2f}', (summary.mean, row - 0.12), xytext=(0, 7), textcoords='offset points',
                          ha='center', fontsize=8)
        axes.set_yticks(range(len(groups)), [plain(group.name, 44) for group in groups])
        axes.set_ylim(len(groups) - 0.5, -0.6)
        axes.margins(x=0.08)
        axes.set_xlim(widened(axes.get_xlim()))
        axes.set_xlabel(f'{where} mIoU, %')
    return Picture('scores', f'Scores: {where} mIoU', 'Dots: seeds; diamond and bar: mean and standard deviation. '
                   f'The axis does not begin at 0; it spans {SPAN:.0f} points or more.', png(figure))


def widened(limits: tuple[float, float]) -> tuple[float, float]:
    """Limits of an axis in percent, about their middle, at least SPAN apart and within 0 .. 100 where they were."""
    low, high = limits
    missing = SPAN - (high - low)
    if missing <= 0:
        return limits
    low, high = low - missing / 2, high + missing / 2
    shift = max(-low, 0.0) if limits[0] >= 0 else 0.0
    shift -= max(high + shift - 100.0, 0.0) if limits[1] <= 100 else 0.0
    return low + shift, high + shift


def learning_curves(groups: list[Group]) -> Picture | None:
    """mIoU of the evaluations during training."""
    return _panels(groups, 'learning_curves', 'Learning curves', READING,
                   [('mIoU of evaluations during training, %', lambda run: run.series(run.evaluated, 'miou'), 100.0)])


def loss_curves(groups: list[Group]) -> Picture | None:
    """The total loss and every term that any run has."""
    keys = sorted({key for group in groups for run in group.runs for line in run.lines.get('train', ())
                   for key in line if key.startswith('loss/')})
    panels = [(f'{key.removeprefix("loss/")}', _series('train', key), 1.0) for key in keys]
    return _panels(groups, 'losses', 'Training losses', READING + ' Terms are shown before their weights; total is '
                   'their weighted sum, so totals of methods with different terms must not be compared.',
                   [('total', _series('train', 'loss'), 1.0), *panels], scale=True)


def pseudo_label_curves(groups: list[Group]) -> Picture | None:
    """Share and accuracy of the pseudo-labels, as far as logged."""
    panels = [(title, _series('train', f'pseudo_label/{key}'), 100.0) for key, title in PSEUDO_LABELS]
    return _panels(groups, 'pseudo_labels', 'Pseudo-labels over time',
                   READING + ' Accuracy is against the hidden labels of unlabelled images.', panels)


def _series(split: str, key: str) -> Callable[[Run], dict[int, float]]:
    return lambda run: run.series(split, key)


def _panels(groups, name, title, caption, panels, scale: bool = False) -> Picture | None:
    """Small plots beside each other, those without any value left out; `panels`: (title, run -> curve, factor)."""
    filled = []
    for head, series, factor in panels:
        curves = [[{step: factor * v for step, v in series(run).items()} for run in group.runs] for group in groups]
        if any(curve for group in curves for curve in group):
            filled.append((head, curves, factor == 100.0))
    if not filled:
        return None
    shown = [group for i, group in enumerate(groups) if any(curve for _, curves, _ in filled for curve in curves[i])]
    rows, columns = grid_shape(len(filled))
    width, height = (9.0, 4.4 + 0.06 * len(shown)) if len(filled) == 1 else (3.8 * columns, 2.9 * rows)
    weight = 2.0 if len(shown) < 7 else 1.4
    with style():
        figure = new_figure(width, height + 0.2 * len(shown) * min(1.0, 3.0 / width))
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for panel, (head, curves, percent) in zip(axes, filled):
            for group, members in zip(groups, curves):
                _draw(panel, group, members, weight)
            panel.set_title(plain(head), loc='left')
            panel.set_xlabel('step')
            values = [v for members in curves for curve in members for v in curve.values()]
            if percent:
                panel.set_ylim(widened(panel.get_ylim()))
            if scale and min(values) > 0 and max(values) / min(values) > LOG_FROM:
                panel.set_yscale('log')
                panel.set_title(plain(f'{head} (logarithmic)'), loc='left')
        for panel in axes[len(filled):]:
            panel.set_axis_off()
        add_legend(figure, shown, width)
    return Picture(name, title, caption, png(figure))


def _draw(axes, group: Group, curves: list[dict[int, float]], weight: float) -> None:
    """Curves of one group, a step -> value a run; `weight` is the width of a mean's line."""
    curves = [curve for curve in curves if curve]
    line = {'color': group.color, 'linestyle': group.dashes}
    if len(curves) == 1:
        steps, values = zip(*sorted(curves[0].items()))
        axes.plot(steps, values, linewidth=1.1, marker='.' if len(steps) < 25 else '', markersize=4, **line)
        return
    middle = band(curves)
    if middle.steps:
        axes.fill_between(middle.steps, middle.low, middle.high, color=group.color, alpha=0.075 * weight, linewidth=0)
        axes.plot(middle.steps, middle.mean, linewidth=weight, marker='.' if len(middle.steps) < 25 else '', **line)
    for curve in curves:  # what only some seeds have
        steps = [step for step in sorted(curve) if not middle.steps or step >= middle.steps[-1]]
        axes.plot(steps, [curve[step] for step in steps], linewidth=0.8, **line)
