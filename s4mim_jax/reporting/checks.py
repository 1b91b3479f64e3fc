"""What a reader must know before comparing the groups of a report."""

from s4mim_jax.reporting.groups import Group
from s4mim_jax.reporting.runs import Run


def findings(groups: list[Group]) -> list[str]:
    """A sentence for everything that makes numbers of the report less comparable than they look."""
    runs = [run for group in groups for run in group.runs]
    found = [f'{run.path}: {note}.' for run in runs for note in run.notes]
    for run in runs:
        if run.step < run.config['total_steps']:
            found.append(f'{run.path} is not finished: step {run.step} of {run.config["total_steps"]}.')
        if run.test and _stale(run):
            found.append(f'{run.path}: {run.test.file} is of step {run.test.values.get("step")}, but the best '
                         f'{run.evaluated} mIoU came at another step; evaluate it again.')
    scored = {run.evaluated for run in runs} - {'val'}
    if scored:
        found.append(f'Columns and plots named val show the split evaluated during training; in some runs it is '
                     f'{" or ".join(sorted(scored))}.')
    return found + _differing(runs)


def _stale(run: Run) -> bool:
    """The best checkpoint was evaluated, and training has found a better one since."""
    scores = run.series(run.evaluated, 'miou')
    if not run.test.file.startswith('test-best-') or not scores:
        return False
    step = run.test.values.get('step')
    return step in scores and scores[step] < max(scores.values())


def _differing(runs: list[Run]) -> list[str]:
    found = []
    tested = [run for run in runs if run.test]
    for key in sorted({key for run in tested for key in run.test.values.get('protocol') or {}}):
        values = _values((run.test.values.get('protocol') or {}).get(key) for run in tested)
        if len(values) > 1:
            found.append(f'The test results differ in their evaluation protocol: {key} is {" or ".join(values)}.')
    kinds = {
        'test results are of different weights': _values(run.test.values.get('weights') for run in tested),
        'test results are over different numbers of images': _values(run.test.values.get('images') for run in tested),
        'runs were made by different versions of the code (+: with changes)':
            _values(run.code for run in runs),
        'runs were made on different devices': _values((run.info.get('devices') or {}).get('kind') for run in runs)}
    found += [f'The {what}: {", ".join(values)}.' for what, values in kinds.items() if len(values) > 1]
    return found


def _values(values) -> list[str]:
    return sorted({str(value) for value in values})
