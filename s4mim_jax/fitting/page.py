"""The page at the end of a fit: what came out, what was decided and why, curves, classes, pictures."""

from dataclasses import replace
from pathlib import Path

from s4mim_jax.fitting.outcome import LABELLED_ONLY, PREDICTIONS
from s4mim_jax.fitting.proposal import FILE
from s4mim_jax.prediction.correction_page import PAGE
from s4mim_jax.reporting import curves, heatmaps, mosaic, page, predictions, run_files, tables
from s4mim_jax.reporting.groups import make_groups
from s4mim_jax.reporting.tables import Table


def write(output: Path, state: dict) -> Path:
    """Writes OUTPUT/index.html, self-contained, and the plots beside it.

    Args:
      output: folder of the fit. state: content of its fit.json.
    """
    names = list(state['scores'])
    runs = [run_files.read_run(output / name)[0] for name in names]
    groups, notes = make_groups(runs)
    groups = [replace(group, name=Path(group.first.path).name) for group in groups]  # as everywhere else here
    galleries, problems = predictions.predict(groups, 6, (), say=lambda line: None)
    present = lambda *pictures: [p for p in pictures if p is not None]
    splits = list(dict.fromkeys(split for scores in state['scores'].values() for split in scores))
    scores = Table('', ['network', *(f'{split} mIoU, %' for split in splits)],
                   [[name, *(f'{100 * state["scores"][name].get(split, float("nan")):.2f}' for split in splits)]
                    for name in names])
    plan = Table('', ['key', 'value', 'why'], [list(row) for row in state['reasons']])
    again = [f'{one["run"]} was planned anew after update {one["after"]}: {one["step_seconds"]:.2f} s an update, '
             f'{one["updates"]} updates instead of {one["before"]}.' for one in state['planned_anew']]
    correct = f'{PREDICTIONS}/{PAGE}'
    sections = [
        page.Section('Scores', [scores]),
        page.Section('Predictions', pictures=mosaic.gallery_pictures(galleries), notes=problems),
        page.Section('What to do next', notes=[
            'Correct the pseudo-labels that are least certain, put them beside your masks, and fit again.'] if
            (output / correct).is_file() else [],
            links=[('Pseudo-labels of the unlabelled images, least certain first', correct)] if
            (output / correct).is_file() else [], commands=commands(output, state)),
        page.Section('Learning curves', pictures=present(curves.learning_curves(groups))),
        page.Section('IoU per class', [t for t in [tables.class_table(groups)] if t.rows],
                     present(heatmaps.class_picture(groups)), folded=True),
        page.Section('Pseudo-labels during training', pictures=present(curves.pseudo_label_curves(groups))),
        page.Section('The plan, and why', [plan], notes=[*state['fingerprint'], *again]),
        page.Section('Cost', tables.cost_tables(groups))]
    return page.write(output, f'Fit of {Path(state["folder"]).name}', verdict(state), notes, sections)


def commands(output: Path, state: dict) -> list[str]:
    """Lines to type next: more images, another method."""
    return [f'python -m s4mim_jax.predict --workdir={output / state["best"]} --output=out IMAGES',
            f'python -m s4mim_jax.train --config={output / FILE}:unimatch --workdir={output / "unimatch"}']


def verdict(state: dict) -> str:
    """What came out, in two sentences."""
    scores, best = state['scores'], state['best']
    split = 'test' if all('test' in s for s in scores.values()) else next(iter(next(iter(scores.values()))))
    text = f'{best} predicts: mIoU {100 * scores[best][split]:.1f} % on {split}.'
    if len(scores) > 1:
        method = next(name for name in scores if name != LABELLED_ONLY)
        gain = 100 * (scores[method][split] - scores[LABELLED_ONLY][split])
        text += (f' {method}, which learned from the unlabelled images too, is {abs(gain):.1f} points '
                 f'{"above" if gain >= 0 else "below"} labelled-only on {split}; differences under two points are '
                 'noise with one run each.')
    elif state['proposed'] != 'supervised':
        text += (' The time was too short for a method that learns from the unlabelled images too: give more --minutes '
                 'and another --output.')
    if split != 'test':
        text += ' There is no test split: val chose the checkpoint too, so the score is optimistic.'
    return text
