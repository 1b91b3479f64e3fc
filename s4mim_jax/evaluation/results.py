"""Results of an evaluation: the files in the run folder and the table in the terminal."""

import json
import os
from pathlib import Path

from s4mim_jax.config.errors import InputError


def write_result(workdir, split: str, checkpoint: str, result: dict) -> tuple[Path, Path]:
    """Writes `eval/SPLIT.json` (the last evaluation asked for) and `eval/SPLIT-CHECKPOINT-WEIGHTS.json`.

    Each is replaced in one go, so that a crash leaves the old file or the new one.

    Args:
      workdir: run folder. split: what was scored. checkpoint: as asked for: best, latest or a step.
      result: of an evaluator.

    Returns:
      the two paths, in that order.

    Raises:
      InputError: the folder cannot be written.
    """
    folder = Path(workdir) / 'eval'
    text = json.dumps(result, indent=2, allow_nan=False) + '\n'
    paths = folder / f'{split}.json', folder / f'{split}-{checkpoint}-{result["weights"]}.json'
    try:
        folder.mkdir(exist_ok=True)
        for path in paths:
            temporary = path.with_name(f'.{path.name}-{os.getpid()}')
            temporary.write_text(text)
            temporary.replace(path)
    except OSError as error:
        raise InputError(f'{folder} cannot be written ({error.strerror})\n'
                         'name a run folder that you may write; the run is unharmed') from None
    return paths


def format_table(result: dict, width: int = 20) -> str:
    """A line a class: name, IoU in percent, a bar of at most `width` characters; then the means."""
    longest = max(len(name) for name in [*result['iou'], 'pixel accuracy'])
    rows = [(name, value) for name, value in result['iou'].items()]
    ends = [('mean IoU', result['miou']), ('pixel accuracy', result['pixel_accuracy'])]
    if 'boundary_miou' in result:
        ends.append(('boundary IoU', result['boundary_miou']))

    def line(name, value):
        if value is None:
            return f'{name:<{longest}}       -  absent'
        return f'{name:<{longest}}  {100 * value:6.2f}  {"#" * round(width * value)}'.rstrip()

    rule = '-' * (longest + 8)
    head = f'{"class":<{longest}}   IoU %'
    return '\n'.join([head, rule, *(line(*row) for row in rows), rule, *(line(*row) for row in ends)])
