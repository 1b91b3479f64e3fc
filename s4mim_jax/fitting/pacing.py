"""The length of a training follows the clock: planned anew where the machine became slower or faster than it was.

The program is compiled for any length (`make_train_step(open_length=True)`), so a new plan costs a checkpoint. But it
bends the schedule: hence the tolerances.
"""

import math
import statistics
import time
from collections.abc import Callable

LOOKS = 3  # stretches of training whose median tells an update's time now: a hiccup in one of them is none
LATE, EARLY = 0.05, 0.1  # shares of the training's time by which the end may be off before it is planned anew
LENGTHEN_UNTIL = 0.8  # of the updates: later too few would be left in which the rate, raised again, falls to its end
FEWEST = 20  # updates of a training, however short the time is
SHORTEST_END = 0.02  # of the updates so far: at least so many more bring the schedule to its end
EVALUATIONS = 4  # of a whole training at most, see `lengths.evaluations`


class Pace:
    """Watches a training and says when it must be planned anew.

    Args:
      deadline: of `clock`, seconds: the training and what comes after it shall have ended by then.
      total: updates as planned. most: never more than these.
      step, evaluation, after: seconds that were expected of an update, of an evaluation, and of what comes after the
        training, which lasts longer where updates do. evaluations: of the whole training. late: share of the
        training's time by which its end may be late. clock: seconds, monotonic.

    Attributes:
      completed, evaluation: updates, and seconds as seen last. step: seconds of an update, expected from now on: the
        mean of what it takes now and of what it took so far, for loads come and go. seen: whether any was.
    """

    def __init__(self, deadline: float, total: int, most: int, *, step: float, evaluation: float = 0.0,
                 evaluations: int = EVALUATIONS, after: float = 0.0, late: float = LATE,
                 clock: Callable[[], float] | None = None):
        self.deadline, self.most, self.late, self.clock = deadline, most, late, clock or time.monotonic
        self.evaluations = evaluations
        self.budget = max(deadline - after - self.clock(), 0.0)
        self.expected, self.after, self.seen = step, after, False
        self.evaluation, self.step, self.completed = evaluation, step, 0
        self.total, self._stretches, self._last, self._spent, self._made = total, [], None, 0.0, 0

    def __call__(self, completed: int, stretch: float | None, evaluation: float | None) -> int | None:
        """Another number of updates in all, or None where the plan is good enough; the caller sets `total` to it.

        Args:
          completed: updates. stretch: seconds an update in the latest stretch of training, None = nothing new.
          evaluation: seconds of one, None = none yet.
        """
        if stretch is None:
            return None
        if self._last is not None:  # of the first one it is not known how many updates it had
            self._spent += stretch * (completed - self._last)
            self._made += completed - self._last
        self._last, self._stretches = completed, [*self._stretches[1 - LOOKS:], stretch]
        now = statistics.median(self._stretches)
        self.step = (now + self._spent / self._made) / 2 if self._made else now
        self.completed, self.seen, self.evaluation = completed, True, evaluation or self.evaluation
        if len(self._stretches) < LOOKS:
            return None
        left = self.deadline - self.clock() - max(self.step / self.expected, 1.0) * self.after
        length = new_length(completed, self.total, self.step, self.evaluation, left, self.budget, self.most, self.late,
                            self.evaluations)
        if length is not None:  # three further looks before the next plan
            self._stretches = []
        return length


def needed(updates: int, total: int, step: float, evaluation: float, evaluations: int) -> float:
    """Seconds of the last `updates` of `total`, with their share of the evaluations, the last one included."""
    return updates * step + math.ceil(evaluations * updates / total) * evaluation


def new_length(completed: int, total: int, step: float, evaluation: float, left: float, budget: float,
               most: int, late: float = LATE, evaluations: int = EVALUATIONS) -> int | None:
    """Updates in all that end in time, or None where the plan is good enough.

    Args:
      completed, total: updates so far and as planned. step, evaluation: seconds of an update and of an
        evaluation. left: seconds until the deadline. budget: seconds that the training had.
      most: never more updates than these. late: share of the budget by which the end may be late.
      evaluations: of the whole training.
    """
    rest = needed(total - completed, total, step, evaluation, evaluations)
    fit = (left - math.ceil(evaluations * (total - completed) / total) * evaluation) / step  # with as many evaluations
    if rest > left + late * budget:
        length = max(completed + int(fit), shortest(completed), min(FEWEST, total))
        return length if length < total else None
    if completed <= LENGTHEN_UNTIL * total and total < most and rest < left - EARLY * budget:
        length = min(completed + int(fit), most)
        return length if length > (1 + EARLY) * total else None
    return None


def shortest(completed: int) -> int:
    """Updates in all of the shortest run that still brings its schedule to an end."""
    return completed + max(math.ceil(SHORTEST_END * completed), 1)

