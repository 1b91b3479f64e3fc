"""The table and the plot of benchmarks/ablation.py, from its JSONs."""

import math
import statistics
from pathlib import Path

from arms import FOUR
from matplotlib.figure import Figure
from scipy.stats import t as student

CHECKPOINT = 'latest'  # nothing is chosen on a score
COLUMNS = ('method', 'seeds', 'test mIoU', 'host', 'host, same seeds', 'difference to host, 95 % interval',
           'p, corrected', 'kept')


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
        half = student.ppf(0.975, n - 1) * statistics.stdev(differences) / math.sqrt(n)
    return statistics.fmean(differences), half, n


def p_value(difference: tuple[float, float | None, int]) -> float | None:
    """Two-sided, of the paired t-test whose 95 % interval `paired` returned; None for one seed."""
    mean, half, n = difference
    if half is None:
        return None
    if not half:
        return 1.0 if not mean else 0.0
    return float(2 * student.sf(abs(mean) / half * student.ppf(0.975, n - 1), n - 1))


def holm(values: dict[object, float]) -> dict[object, float]:
    """p-values corrected for their number (Holm 1979): k-th smallest of m times m - k + 1, never falling, at most 1.

    With every p below .05 after it, the chance that one of the differences is none is below 5 %, all of them together.
    """
    corrected, least = {}, 0.0
    for rank, (name, value) in enumerate(sorted(values.items(), key=lambda item: item[1])):
        least = corrected[name] = min(1.0, max(least, value * (len(values) - rank)))
    return corrected


def write_table(results: list[dict], arms: dict, folder: Path) -> None:
    """Writes table.md and table.png; arms that have not run are left out.

    Arms that ran on few seeds stand apart: their means say little beside means over more. The union stands beside its
    host and, in a table of its own, beside each of the four methods that it is made of.
    """
    best, parts, drawn = scores(results), [], []
    corrected = holm(p_values(best, arms))
    for seeds in sorted({len(found) for found in best.values()}, reverse=True):
        names = [name for name in arms if len(best.get(name, ())) == seeds]
        parts.append([f'Arms on {seeds} seed{"s" if seeds > 1 else ""}:', '', *header(COLUMNS),
                      *(row(name, arms[name].host, results, corrected) for name in names)])
        drawn.append([(name, arms[name].host) for name in names])
    four = [name for name in FOUR if name in best] if 'union' in best else []
    if four:
        parts.append(['The union beside each of the four, on their common seeds:', '',
                      *header(('method', 'its test mIoU', 'union', 'difference, union - method, 95 % interval',
                               'p, corrected')), *(against(name, best, corrected) for name in four)])
        drawn.append([('union', name) for name in four])
    text = '\n\n'.join('\n'.join(part) for part in parts)
    (folder / 'table.md').write_text(text + '\n')
    print(text)
    if drawn:
        draw(drawn, best).savefig(folder / 'table.png', dpi=110)


def header(columns) -> list[str]:
    return ['| ' + ' | '.join(columns) + ' |', '|' + '---|' * len(columns)]


def p_values(best: dict[str, dict[int, float]], arms: dict) -> dict[tuple[str, str], float]:
    """(arm, what it is compared with) -> p, of every comparison of the tables that has an interval."""
    pairs = [(name, arm.host) for name, arm in arms.items()] + [('union', name) for name in FOUR]
    differences = {(a, b): paired(best[a], best[b]) for a, b in pairs if a in best and b in best}
    found = {pair: difference and p_value(difference) for pair, difference in differences.items()}
    return {pair: p for pair, p in found.items() if p is not None}


def row(name: str, host: str | None, results: list[dict], corrected: dict) -> str:
    """An arm beside its host, whose mean is over the seeds that both have."""
    best, mine = scores(results), [r for r in results if r['arm'] == name]
    kept = [r['pseudo_label'].get('pseudo_label/kept') for r in mine]
    shares = [share for share in kept if share is not None]
    share = f'{statistics.fmean(shares):.0%}' if shares else '-'
    compared = best.get(host, {})
    return (f'| {name} | {len(mine)} | {spread(best[name])} | {host or "-"} | '
            f'{mean_on(best[name], compared)} | {interval(paired(best[name], compared))} | '
            f'{probability(corrected.get((name, host)))} | {share} |')


def against(name: str, best: dict[str, dict[int, float]], corrected: dict) -> str:
    """The union beside a method that is no host of it."""
    union, method = best['union'], best[name]
    return (f'| {name} | {mean_on(union, method)} | {mean_on(method, union)} | {interval(paired(union, method))} | '
            f'{probability(corrected.get(("union", name)))} |')


def probability(p: float | None) -> str:
    """`.034`, `< .001`, `1`; - where there is none."""
    if p is None:
        return '-'
    return '< .001' if p < 0.0005 else '1' if p > 0.9995 else f'{p:.3f}'.lstrip('0')


def mean_on(seeds, values: dict[int, float]) -> str:
    """Mean of the values over those of the seeds that have one."""
    known = [values[seed] for seed in seeds if seed in values]
    return f'{statistics.fmean(known):.2f}' if known else '-'


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


def draw(parts: list[list[tuple]], best: dict[str, dict[int, float]]) -> Figure:
    """Left: test mIoU of every seed; right: paired difference to the host with its interval.

    Args:
      parts: lists of (arm, host or None), a line between them. best: arm -> seed -> score.
    """
    rows = [pair for part in parts for pair in part]
    differences = [paired(best[name], best[host]) if host in best else None for name, host in rows]
    figure = Figure(figsize=(12, 1.0 + 0.3 * len(rows)), layout='constrained')
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.1))
    means = [abs(difference[0]) for difference in differences if difference]
    reach = 1.4 * (max(means, default=0.0) or 1.0)
    for place, ((name, _), difference) in enumerate(zip(rows, differences)):
        values = list(best[name].values())
        left.plot(values, [place] * len(values), 'o', color='#0072B2', alpha=0.45, markersize=5)
        left.plot([statistics.fmean(values)], [place], '|', color='black', markersize=13, markeredgewidth=2)
        if difference:
            mean, half, _ = difference
            color = '#777777' if half is None or abs(mean) <= half else '#009E73' if mean > 0 else '#D55E00'
            right.errorbar([mean], [place], xerr=None if half is None else [[half], [half]], fmt='o', color=color,
                           capsize=3)
    right.axvline(0, color='black', linewidth=0.8)
    right.set_xlim(-reach, reach)  # an interval over two seeds may run out of the picture
    left.set_ylim(len(rows) - 0.4, -0.6)
    left.set_yticks(range(len(rows)), [name for name, _ in rows])
    hosts = right.secondary_yaxis('right')
    hosts.set_yticks(range(len(rows)), [f'vs {host}' if host else '' for _, host in rows])
    hosts.tick_params(length=0)
    left.set_xlabel('test mIoU, % (dots: seeds, bar: mean)')
    right.set_xlabel('paired difference, points, 95 % interval\n(green, red: without 0)')
    for axes in (left, right):
        axes.grid(axis='x', alpha=0.3)
        for end in [sum(map(len, parts[:n])) for n in range(1, len(parts))]:
            axes.axhline(end - 0.5, color='#999999', linewidth=0.8)
    return figure
