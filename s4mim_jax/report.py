"""Compares runs on one page: tables, learning curves, pseudo-labels, classes, predictions and cost.

python -m s4mim_jax.report runs/ --output=report [--images=6] [--config.data.dir=FOLDER]
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from s4mim_jax.config import allocator, command_line, xla_flags
from s4mim_jax.config.errors import InputError


def main(positional, config_file, overrides) -> int:
    values = flags.FLAGS
    if config_file or any(key != 'data.dir' for key, _ in overrides):
        raise InputError('report takes the configs from the runs\n'
                         'valid: --config.data.dir=FOLDER, where the images of the predictions lie')
    if not positional:
        raise InputError('no folder: name run folders, or folders that hold some\n'
                         'for example: s4mim_jax.report runs/ --output=report')
    if not values.output:
        raise InputError('--output is missing; name the folder to write to')
    if values.images < 0:
        raise InputError(f'--images={values.images}: must be at least 0')
    page, problems = make_report(positional, values.output, values.images, overrides)
    print(page, flush=True)
    for problem in problems:
        print(f'left out: {problem}', file=sys.stderr, flush=True)
    return 1 if problems else 0


def make_report(folders: Sequence[str], output: str, images: int = 6,
                overrides: Sequence[tuple[str, str]] = ()) -> tuple[Path, list[str]]:
    """Reads the runs and writes index.html, report.md and the plots.

    Args:
      folders: run folders, or folders that hold some. output: folder to write to.
      images: how many images the predictions are shown on; 0 = none, which needs neither JAX nor data.
      overrides: (dotted config key, text) pairs for the predictions.

    Returns:
      (path of index.html, a message for everything that was left out because it is broken).

    Raises:
      InputError: no such folder, no run that can be used, or the output cannot be written.
    """
    from s4mim_jax.reporting import checks, curves, heatmaps, page, run_files, tables
    from s4mim_jax.reporting import groups as grouping
    from s4mim_jax.reporting.verdict import verdict
    paths, problems = run_files.find_runs(folders)
    runs = []
    for path in paths:
        try:
            run, broken = run_files.read_run(path)
            runs.append(run)
            problems += broken
        except InputError as error:
            problems.append(str(error))
    if not runs:
        more = f'\n{len(paths)} runs found, none can be used' if len(paths) > 1 else ''
        raise InputError('\n'.join(problems[0].split('\n')[:2]) + more)
    folder = page.prepare(output)
    groups, notes = grouping.make_groups(runs)
    counted = f'{_count(len(runs), "run")} in {_count(len(groups), "group")}'
    print(counted, flush=True)
    sections = [
        *([_predictions(groups, images, overrides)] if images else []),
        page.Section('Summary', [tables.summary_table(groups)], _present(curves.score_picture(groups))),
        page.Section('Learning curves', pictures=_present(curves.learning_curves(groups))),
        page.Section('IoU per class', [t for t in [tables.class_table(groups)] if t.rows],
                     _present(heatmaps.class_picture(groups)), folded=True),
        page.Section('Pseudo-labels', pictures=_present(curves.pseudo_label_curves(groups),
                                                        *heatmaps.watch_pictures(groups))),
        page.Section('Training losses', pictures=_present(curves.loss_curves(groups))),
        page.Section('Cost', tables.cost_tables(groups)),
        page.Section('Runs', [tables.run_table(groups)])]
    warnings = [f'Left out: {" ".join(problem.split())}' for problem in problems] + notes + checks.findings(groups)
    lead = f'{verdict(groups)} {counted}; runs that differ in nothing but the seed are a group.'
    written = page.write(folder, 'Report: ' + ', '.join(dict.fromkeys(run.method for run in runs)), lead, warnings,
                         sections)
    return written, problems


def _predictions(groups, images, overrides):
    from s4mim_jax.reporting import mosaic, page, predictions
    allocator.keep_memory()
    xla_flags.for_cpu()
    command_line.compilation_cache(str(groups[0].first.path))
    galleries, notes = predictions.predict(groups, images, overrides, say=lambda line: print(line, flush=True))
    return page.Section('Predictions', pictures=mosaic.gallery_pictures(galleries), notes=notes)


def _count(number: int, what: str) -> str:
    return f'{number} {what}' + ('' if number == 1 else 's')


def _present(*pictures) -> list:
    return [picture for picture in pictures if picture is not None]


def run() -> None:
    """Defines the flags and starts. Importing defines none: other commands have flags of the same names."""
    flags.DEFINE_string('output', None, 'folder for index.html, report.md and the plots')
    flags.DEFINE_integer('images', 6, 'images on which predictions are shown, 0 = none')
    flags.FLAGS.set_gnu_getopt(True)  # options may follow the folders
    command_line.run(main)


if __name__ == '__main__':
    run()
