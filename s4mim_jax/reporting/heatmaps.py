"""Numbers of classes x groups as coloured tables: IoU, and pseudo-labels on the watched images."""

import numpy as np

from s4mim_jax.reporting.figures import Picture, new_figure, plain, png, style
from s4mim_jax.reporting.groups import Group
from s4mim_jax.reporting.runs import number
from s4mim_jax.reporting.statistics import summarize
from s4mim_jax.reporting.tables import all_classes, class_scores

WATCHED = (('kept', 'Kept share per class'), ('accuracy_kept', 'Accuracy of kept pseudo-labels per class'),
           ('accuracy_rejected', 'Accuracy of rejected pseudo-labels per class'),
           ('agreement', 'Agreement of raw and refined filter per class'))


def class_picture(groups: list[Group]) -> Picture | None:
    """IoU of every class; where it is from is what `class_scores` says."""
    scores = [class_scores(group) for group in groups]
    title, columns = _name_columns('IoU per class', groups, scores)
    image = _heatmap(all_classes(groups), columns)
    return image and Picture('class_iou', title, 'Percent, mean over seeds. Columns of different splits, named in '
                             'square brackets where there are several, must not be compared.', image)


def watch_pictures(groups: list[Group]) -> list[Picture]:
    """A picture for each of `WATCHED` that was logged: the last line of every run with split 'watch'."""
    pictures = []
    for key, title in WATCHED:
        shown, scores = [], []
        for group in groups:
            lines = [run.last('watch') for run in group.runs]
            means = {}
            for name in all_classes([group]):
                found = summarize(number(line.get(f'{key}/{name}')) for line in lines)
                means[name] = found.mean if found else None
            steps = sorted({line['step'] for line in lines if 'step' in line})
            if any(value is not None for value in means.values()):
                shown.append(group)
                scores.append((f'step {"/".join(map(str, steps))}', means))
        title, columns = _name_columns(title, shown, scores)
        image = _heatmap(all_classes(groups), columns)
        if image:
            pictures.append(Picture(f'pseudo_labels_{key}', title, 'Percent, mean over seeds, by the class of the '
                                    'pseudo-label, over the unlabelled images of the one training batch that was '
                                    'looked at with the last evaluation; grey: no such pixels.', image))
    return pictures


def _name_columns(title: str, groups: list[Group], scores: list[tuple[str, dict]]) -> tuple[str, list]:
    """Where all columns are from goes into the title; where they differ, behind each column's name."""
    sources = {where for where, means in scores if any(value is not None for value in means.values())}
    if len(sources) == 1:
        return f'{title}, {sources.pop()}', [(group.name, means) for group, (_, means) in zip(groups, scores)]
    return title, [(f'{group.name} [{where}]', means) for group, (where, means) in zip(groups, scores)]


def _heatmap(classes: list[str], columns: list[tuple[str, dict[str, float | None]]]) -> bytes | None:
    """Cells in percent with their numbers; classes without any are left out. None: nothing to show."""
    classes = [name for name in classes if any(means.get(name) is not None for _, means in columns)]
    if not classes:
        return None
    table = np.array([[means.get(name) for _, means in columns] for name in classes], float) * 100
    labels = [plain(name, 26) for name, _ in columns]
    longest = max(len(line) for label in labels for line in label.split('\n'))
    width = 0.5 + 0.085 * min(40, max(map(len, classes))) + 0.72 * len(columns) + 0.05 * longest
    with style():
        figure = new_figure(width, 0.4 + 0.25 * len(classes) + 0.062 * longest)
        axes = figure.subplots()
        axes.set_facecolor('#d9d9d9')
        axes.imshow(np.ma.masked_invalid(table), cmap='cividis', vmin=0, vmax=100, aspect='auto')
        for (row, column), value in np.ndenumerate(table):
            text = '–' if np.isnan(value) else f'{value:.1f}'
            axes.text(column, row, text, ha='center', va='center', fontsize=8,
                      color='black' if not value < 55 else 'white')
        axes.set_yticks(range(len(classes)), [plain(name) for name in classes])
        axes.set_xticks(range(len(columns)), labels, rotation=40, ha='left', rotation_mode='anchor')
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
    return png(figure)
