"""Where numbers and pictures of a run go: metrics.jsonl, TensorBoard, panels/.

The only file that imports clu, and only when a writer is made: clu's writer brings TensorFlow.
metrics.jsonl holds nothing that depends on the clock, so two runs of one config are comparable line
by line; rates go to the writers (TensorBoard, others by `log.writers`) and to the terminal. Everything
that writes raises StorageError when the disk or the store refuses.
"""

import io
import json
import math

import numpy as np
from PIL import Image

from s4mim_jax.runs import storage, writers

METRICS = 'metrics.jsonl'


class Sums:
    """Running sums and counts of the metrics since the last log line."""

    def __init__(self, stored: dict | None = None):
        self.values = {name: list(pair) for name, pair in (stored or {}).items()}

    def add(self, metrics: dict) -> None:
        """Adds one step's metrics (name -> (total, count)), host scalars."""
        for name, (total, count) in metrics.items():
            pair = self.values.setdefault(name, [0.0, 0])
            pair[0] += float(total)
            pair[1] += int(count)

    def take(self) -> dict[str, float | None]:
        """The means, and starts again; None where nothing was counted."""
        means = {name: total / count if count else None for name, (total, count) in sorted(self.values.items())}
        self.values = {}
        return means


def first_non_finite(metrics: dict) -> str | None:
    """Name of a non-finite metric of one step; a term's loss before the total, or None."""
    bad = [name for name, (total, _) in metrics.items() if not math.isfinite(float(total))]
    return min(bad, key=lambda name: (not name.startswith('loss/'), name != 'loss', name), default=None)


class Monitor:
    """Writes scalars and images of one run. Only process 0 of a run makes one."""

    def __init__(self, workdir, completed: int, others: tuple[str, ...] = ('tensorboard',), config: dict | None = None):
        """`completed`: step of the checkpoint that the run goes on from; later lines are dropped.

        others: `writers.names` of where scalars and pictures go beside the run folder. config: what they show of it.
        """
        from s4mim_jax.data import tensorflow_setup  # noqa: F401  hides accelerators before clu brings TensorFlow
        self._workdir = storage.locate(workdir)
        self._path, self._panels = self._workdir / METRICS, self._workdir / 'panels'
        from clu import metric_writers
        truncate(self._path, completed)
        with self._writing(self._path):
            self._lines = storage.Lines(self._path)
        with self._writing(self._workdir):
            self._writer = metric_writers.MultiWriter(writers.make(
                others, workdir, config or {}, lambda: metric_writers.SummaryWriter(str(self._workdir))))

    def scalars(self, step: int, split: str, values: dict, **labels) -> None:
        """One line of metrics.jsonl and the same scalars for the writers under `split/`."""
        line = {'step': step, 'split': split, **labels, **values}
        with self._writing(self._path):
            self._lines.add(json.dumps(line))
        numbers = {f'{split}/{k}': v for k, v in values.items() if isinstance(v, (int, float))}
        with self._writing(self._workdir):
            self._writer.write_scalars(step, numbers)

    def rates(self, step: int, values: dict[str, float]) -> None:
        """Clock-dependent scalars, for the writers only."""
        with self._writing(self._workdir):
            self._writer.write_scalars(step, {f'speed/{k}': v for k, v in values.items()})

    def panel(self, step: int, name: str, picture: np.ndarray) -> None:
        """A picture u8 [H, W, 3]: panels/NAME_STEP.png and the writers."""
        path, png = self._panels / f'{name}_{step:06d}.png', io.BytesIO()
        Image.fromarray(picture).save(png, 'png')
        with self._writing(path):
            self._panels.mkdir(exist_ok=True)
            path.write_bytes(png.getvalue())
        with self._writing(self._workdir):
            self._writer.write_images(step, {name: picture[None]})

    def close(self) -> None:
        try:
            with self._writing(self._workdir):
                self._writer.flush()
                self._writer.close()
        finally:
            with self._writing(self._path):
                self._lines.close()

    def _writing(self, path):
        return storage.writing(path, self._workdir)


def truncate(path, completed: int) -> None:
    """Drops lines after step `completed` and a half-written last line, replacing the file whole.

    Raises:
      StorageError: it cannot be written; the old file is unharmed.
    """
    path = storage.locate(path)
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)['step'] <= completed:
                kept.append(line + '\n')
        except (json.JSONDecodeError, KeyError, TypeError):
            continue  # cut off by a kill; its step is after the checkpoint, so it is made again
    with storage.writing(path, path.parent):
        storage.replace_text(path, ''.join(kept))
