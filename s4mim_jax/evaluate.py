"""Scores a trained run on a split of its dataset.

python -m s4mim_jax.evaluate --workdir=runs/unimatch --split=test [--config.eval.mode=sliding]

`--checkpoint=best,latest --weights=teacher,student` scores every pair of the two lists and ends with a table.
"""

import itertools
from pathlib import Path

import jax
from absl import flags

from s4mim_jax.config import allocator, command_line, xla_flags
from s4mim_jax.config.errors import InputError
from s4mim_jax.config.validation import validate
from s4mim_jax.parallel import processes


def main(positional, config_file, overrides) -> int:
    values = flags.FLAGS
    command_line.refuse_arguments(positional)
    command_line.refuse_config(config_file, 'evaluate')
    if not values.workdir:
        raise InputError('--workdir is missing; name the folder of the run')
    allocator.keep_memory()
    xla_flags.for_cpu()
    processes.initialize(values.workdir)
    command_line.compilation_cache(values.workdir)
    with processes.together(values.workdir):
        results = evaluate_all(values.workdir, values.checkpoint.split(','), values.weights.split(','), values.split,
                               overrides)
    if len(results) > 1 and jax.process_index() == 0:
        print(_summary(results))
    return 0


def evaluate_all(workdir, checkpoints, weights, split: str = 'test', overrides=()) -> dict:
    """`evaluate_run` for every checkpoint with every kind of weights.

    Returns:
      {(checkpoint, weights): result}; of a run without a teacher once, as student.

    Raises:
      InputError: as evaluate_run, before anything is scored if one of the names is wrong.
    """
    if not set(weights) <= {'teacher', 'student'}:
        raise InputError(f'--weights={",".join(weights)}: valid are teacher, student, or both with a comma between')
    from s4mim_jax.runs import run_folder
    from s4mim_jax.runs.checkpoints import find_step
    run_folder.read_config(workdir, overrides)
    for checkpoint in checkpoints:
        find_step(workdir, checkpoint)
    results = {}
    for checkpoint, kind in itertools.product(checkpoints, weights):
        if (checkpoint, kind) in results:
            continue
        result = evaluate_run(workdir, checkpoint, kind, split, overrides)
        results[checkpoint, result['weights']] = result
    return results


def _summary(results: dict) -> str:
    """A line a result: checkpoint, its step, weights, mean IoU in percent."""
    head = f'{"checkpoint":<12}{"step":>8}  {"weights":<9}mIoU %'
    return '\n'.join([head, *(f'{checkpoint:<12}{result["step"]:>8}  {weights:<9}{100 * result["miou"]:6.2f}'
                              for (checkpoint, weights), result in results.items())])


def evaluate_run(workdir, checkpoint: str = 'best', weights: str = 'teacher', split: str = 'test',
                 overrides=()) -> dict:
    """Evaluates, writes `eval/SPLIT.json` and `eval/SPLIT-CHECKPOINT-WEIGHTS.json`, prints the table.

    Args:
      workdir: run folder. checkpoint: best, latest or a step. weights: teacher or student.
      split: train, val or test. overrides: (dotted config key, text) pairs.

    Returns:
      the result, see `evaluation.make_evaluator`.

    Raises:
      InputError: no such run, checkpoint, weights, split or key; data that cannot be used.
    """
    from s4mim_jax import data, evaluation  # brings the input pipeline with it
    from s4mim_jax.data.progress import Progress
    from s4mim_jax.runs import checkpoints, run_folder
    config = run_folder.read_config(workdir, overrides)
    validate(config)
    run = run_folder.read_json(Path(workdir) / 'run.json')
    classes = run['classes']
    source = data.open_source(config.data)
    source.masks.adopt(run.get('masks'))
    if list(source.classes) != classes:
        raise InputError(f'{source.dir}: its {source.num_classes} classes are not the {len(classes)} of the '
                         'run\n'
                         f'run: {_some(classes)}\ndata: {_some(source.classes)}')
    palette = [[int(v) for v in color] for color in source.palette]
    if (run.get('masks') or {}).get('read_as') == 'colors' and run['palette'] != palette:
        number = next(i for i, (a, b) in enumerate(zip(run['palette'], palette)) if a != b)
        raise InputError(f'{source.dir}: class {classes[number]!r} has the colour {tuple(palette[number])}, in the run '
                         f'{tuple(run["palette"][number])}, and its masks are read by colour\n'
                         'valid: the colours of the run')
    samples = data.evaluation_split(source, split)
    table = data.check_samples(source, samples)
    variables, step, weights = checkpoints.restore_weights(workdir, config, len(classes), checkpoint, weights)
    main_process = jax.process_index() == 0
    if main_process:
        print(f'{weights} weights of step {step} on {len(samples)} images of {source.name} {split}',
              flush=True)
    batches = data.evaluation_batches(source, samples, config, table=table, process_index=jax.process_index(),
                                      process_count=jax.process_count())
    progress = Progress('evaluated', -(-len(samples) // jax.process_count()))

    def advance(images):
        while progress.done < images:
            progress.count()

    evaluator = evaluation.make_evaluator(config, classes, evaluation.local_mesh())
    result = evaluator(variables, batches, step=step, weights=weights,
                       progress=advance if main_process else None)
    if main_process:
        print(evaluation.format_table(result), flush=True)
        last, named = evaluation.write_result(workdir, split, checkpoint, result)
        print(f'{result["images"]} images, mode {config.eval.mode}: {last} and {named.name}', flush=True)
    return result


def _some(names) -> str:
    return ', '.join(list(names)[:6]) + (', ...' if len(names) > 6 else '')


def run() -> None:
    """Defines the flags and starts. Importing defines none: other commands have flags of the same names."""
    flags.DEFINE_string('workdir', None, 'folder of the run')
    flags.DEFINE_string('checkpoint', 'best', 'best, latest or a step; several with commas between')
    flags.DEFINE_string('weights', 'teacher', 'teacher (the student if there is none), student, or both with a comma')
    flags.DEFINE_string('split', 'test', 'train, val or test')
    processes.define_flags()
    flags.FLAGS.set_gnu_getopt(True)
    command_line.run(main)


if __name__ == '__main__':
    run()
