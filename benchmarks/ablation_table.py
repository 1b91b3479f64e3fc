"""The table and the plot of benchmarks/ablation.py, from its JSONs."""

import math
import statistics
from pathlib import Path

from matplotlib.figure import Figure

# Two-sided 95 % points of Student's t with 1, 2, ... degrees of freedom.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
CHECKPOINT = 'best'  # chosen on the validation split; the last one is in the table beside it


def scores(results: list[dict], checkpoint: str = CHECKPOINT) -> dict[str, dict[int, float]]:
    """Arm -> seed -> test mIoU in percent."""
    found: dict[str, dict[int, float]] = {}
    for result in results:
        found.setdefault(result['arm'], {})[result['seed']] = 100 * result['test'][checkpoint]['miou']
    return found


def paired(arm: dict[int, float], host: dict[int, float]) -> tuple[float, float | None, int] | None:
    """Mean difference over common seeds, half width of its 95 % interval (None for one seed), seeds."""
    differences = [arm[seed] - host[seed] for seed in arm if seed in host]
    if not differences:
        return None
    n, half = len(differences), None
    if n > 1:
        half = T95[min(n - 2, len(T95) - 1)] * statistics.stdev(differences) / math.sqrt(n)
    return statistics.fmean(differences), half, n


def write_table(results: list[dict], arms: dict, folder: Path) -> None:
    """Writes table.md and table.png; arms that have not run are left out."""
    best, last = scores(results), scores(results, 'latest')
    cost = {name: [r['cost']['step_seconds'] for r in results if r['arm'] == name] for name in best}
    kept = {name: [r['pseudo_label'].get('pseudo_label/kept') for r in results if r['arm'] == name] for name in best}
    lines = ['| method | seeds | test mIoU, best on val | last | host | difference to host, 95 % interval | '
             'kept | s / step |',
             '|---|---|---|---|---|---|---|---|']
    rows = []
    for name, arm in arms.items():
        if name not in best:
            continue
        difference = paired(best[name], best[arm.host]) if arm.host in best else None
        shares = [share for share in kept[name] if share is not None]
        share = f'{statistics.fmean(shares):.0%}' if shares else '-'
        lines.append(f'| {name} | {len(best[name])} | {spread(best[name])} | {spread(last[name])} | '
                     f'{arm.host or "-"} | {interval(difference)} | {share} | '
                     f'{statistics.median(cost[name]):.2f} |')
        rows.append((name, arm.host, best[name], difference))
    (folder / 'table.md').write_text('\n'.join(lines) + '\n')
    print('\n'.join(lines))
    if rows:
        draw(rows).savefig(folder / 'table.png', dpi=110)


def spread(values: dict[int, float]) -> str:
    """Mean and standard deviation over seeds."""
    mean = statistics.fmean(values.values())
    return f'{mean:.2f}' + (f' ± {statistics.stdev(values.values()):.2f}' if len(values) > 1 else '')


def interval(difference) -> str:
    """`+1.20 [-0.30, +2.70] (5)`; no interval for a single pair."""
    if difference is None:
        return '-'
    mean, half, count = difference
    return f'{mean:+.2f}' + (f' [{mean - half:+.2f}, {mean + half:+.2f}]' if half is not None else '') + f' ({count})'


def draw(rows) -> Figure:
    """Left: test mIoU of every seed; right: paired difference to the host with its interval."""
    figure = Figure(figsize=(11, 1.2 + 0.33 * len(rows)), layout='constrained')
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.2, 1))
    for place, (_, _, values, difference) in enumerate(rows):
        left.plot(list(values.values()), [place] * len(values), 'o', color='#0072B2', alpha=0.45, markersize=5)
        left.plot([statistics.fmean(values.values())], [place], '|', color='black', markersize=14, markeredgewidth=2)
        if difference:
            mean, half, _ = difference
            color = '#555555' if half is None or abs(mean) <= half else '#009E73' if mean > 0 else '#D55E00'
            reach = None if half is None else [[half], [half]]
            right.errorbar([mean], [place], xerr=reach, fmt='o', color=color, capsize=3)
    right.axvline(0, color='black', linewidth=0.8)
    means = [row[3][0] for row in rows if row[3]]
    reach = 1.6 * max([abs(mean) for mean in means], default=1.0)
    right.set_xlim(-reach, reach)  # an interval over two seeds may run out of the picture
    left.set_yticks(range(len(rows)), [f'{name}' for name, *_ in rows])
    left.invert_yaxis()
    left.set_xlabel('test mIoU, % (dots: seeds, bar: mean)')
    right.set_xlabel('difference to the host, points (95 % interval, paired seeds)')
    for place, (_, host, _, _) in enumerate(rows):
        if host:
            right.annotate(f'vs {host}', (1.0, place), xycoords=('axes fraction', 'data'), ha='right', va='center',
                           fontsize=7, color='#888888', xytext=(-3, 0), textcoords='offset points')
    for axes in (left, right):
        axes.grid(axis='x', alpha=0.3)
    return figure
