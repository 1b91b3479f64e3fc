"""The progress line: rate and remaining time, measured over training alone."""

import time


class Progress:
    """Counts training seconds; evaluation, saving and compiling are left out of the rate."""

    def __init__(self, start: int, total: int, images_per_step: int):
        self.step, self.total = start, total
        self._images = images_per_step
        self._mark, self._marked_step = None, start
        self._rate = self.stretch = None  # stretch: seconds an update in the latest one
        self._seconds, self._steps = 0.0, 0

    def begin(self) -> None:
        """Training (again) starts now, with this step count behind it."""
        self._mark, self._marked_step = time.perf_counter(), self.step

    def pause(self) -> None:
        """Closes a stretch of training: its rate counts, smoothed over stretches."""
        if self._mark is not None and self.step > self._marked_step:
            seconds, steps = time.perf_counter() - self._mark, self.step - self._marked_step
            self._seconds, self._steps = self._seconds + seconds, self._steps + steps
            rate, self.stretch = steps / seconds, seconds / steps
            self._rate = rate if self._rate is None else 0.7 * self._rate + 0.3 * rate
        self._mark = None

    def rates(self) -> dict[str, float]:
        """steps_per_s and images_per_s (labelled + unlabelled crops), {} before the first stretch."""
        if self._rate is None:
            return {}
        return {'steps_per_s': self._rate, 'images_per_s': self._rate * self._images}

    def cost(self) -> dict[str, float]:
        """step_seconds and images_per_second, means over this start of the run; {} before any step."""
        if not self._steps:
            return {}
        seconds = self._seconds / self._steps
        return {'step_seconds': seconds, 'images_per_second': self._images / seconds}

    def line(self, losses: dict, width: int | None = None) -> str:
        """`step 50/1000  loss 0.812 (supervised 0.79)  3.1 steps/s  50 images/s  ETA 0:05:06`.

        Args:
          losses: means by name. width: columns that it shall fit, None = any. The losses of the terms, the images a
            second and the share that was kept are left out in this order where it would not.
        """
        terms = ', '.join(f'{k.removeprefix("loss/")} {v:.3f}' for k, v in losses.items()
                          if k.startswith('loss/') and v is not None)
        parts = {'step': f'step {self.step}/{self.total}'}
        if losses.get('loss') is not None:
            parts |= {'loss': f'  loss {losses["loss"]:.3f}', 'terms': f' ({terms})'}
        if losses.get('pseudo_label/kept') is not None:
            parts['kept'] = f'  kept {losses["pseudo_label/kept"]:.0%}'
        if self._rate:
            parts |= {'steps': f'  {self._rate:.2f} steps/s', 'images': f'  {self._rate * self._images:.1f} images/s',
                      'left': f'  ETA {duration((self.total - self.step) / self._rate)}'}
        for name in ('terms', 'images', 'kept'):
            if width and sum(map(len, parts.values())) >= width:
                parts.pop(name, None)
        return ''.join(parts.values())


def duration(seconds: float) -> str:
    """h:mm:ss."""
    seconds = round(seconds)
    return f'{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}'
