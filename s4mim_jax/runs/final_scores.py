"""Student and teacher of the best checkpoint, both scored on eval.split when a run ends."""

from collections.abc import Callable

from s4mim_jax.runs.checkpoints import restore_weights


def compare(folder, config, num_classes: int, loop: dict, evaluate: Callable[[dict], dict]) -> dict:
    """Scores the student of the best checkpoint; the teacher's score is the one that made it the best.

    Args:
      folder: run folder, its best checkpoint on disk. config: whole config. num_classes: C.
      loop: of the run: best_step and best_miou, of the teacher. evaluate: variables -> result with `miou`.

    Returns:
      the content of RUN/weights.json: checkpoint 'best', step, split, miou of teacher and student, better.
    """
    variables, step, _ = restore_weights(folder, config, num_classes, 'best', 'student')
    scores = {'teacher': loop['best_miou'], 'student': evaluate(variables)['miou']}
    return {'checkpoint': 'best', 'step': step, 'split': config.eval.split, 'miou': scores,
            'better': max(scores, key=scores.get)}  # the teacher where both are equal
